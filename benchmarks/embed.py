"""Time the embed stage against a plain loop over the same texts.

``python -m benchmarks.embed WORKSPACE`` needs a workspace with a finished catalogue stage. ``--texts`` of its items,
sets and queries, a third each, are embedded by turns:

- loop: the encoder embeds batches of 32 texts, sorted by their number of characters, in a process without Ray;
- stage: the embed stage with one actor, in a new local Ray.

Both have the same number of torch threads. Time starts when the model is loaded. It ends with the last vector, and for
the stage a second time with the last written file: the model is exported for serving meanwhile. CPU time is the time of
the process that holds the model, within the calls of the model. It hardly depends on what else runs on the machine.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.tables.speed import embed_table
from r4t_ray.types import Array

LOOP_BATCH = 32


class EmbedSettings(BenchmarkSettings):
    """The workspace, the number of texts and the threads."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder with a finished catalogue stage.")
    texts: PositiveInt = Field(2_000, description="Texts to embed.")
    threads: PositiveInt = Field(1, description="Torch threads of the loop and of the stage's actor.")
    turns: PositiveInt = Field(2, description="Runs of each; they alternate.")


def measure(settings: EmbedSettings) -> Result:
    """Run loop and stage by turns, and compare their vectors."""
    result = new_result("embed", settings)
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        catalogue, folder = root / "catalogue", root / "stage"
        write_sample(settings, catalogue)
        for turn in range(settings.turns):
            folder = root / f"stage-{turn}"
            result.rows.append({"what": "loop", "turn": turn, **plain_loop(settings.threads, catalogue, root)})
            result.rows.append({"what": "stage", "turn": turn, **run_stage(settings.threads, catalogue, folder)})
        loops = np.load(root / "loop.npy")
        difference_Nd = loops_projected(loops, folder) - stage_vectors(folder)
        result.facts["largest_difference"] = float(np.abs(difference_Nd).max())
    return result


def write_sample(settings: EmbedSettings, catalogue: Path) -> None:
    """Write a catalogue with the first rows of each kind, in row groups as ingest writes them."""
    import pyarrow.parquet as pq

    from r4t_ray.catalogue.ingest import GROUP_ROWS
    from r4t_ray.encoders.stream import KINDS

    catalogue.mkdir()
    for place, kind in enumerate(KINDS):
        rows = (settings.texts + place) // len(KINDS)
        table = pq.read_table(settings.workspace / "catalogue" / f"{kind}.parquet").slice(0, rows)
        if table.num_rows < rows:
            raise SystemExit(f"{rows} {kind} are needed, only {table.num_rows} exist: lower --texts")
        pq.write_table(table, catalogue / f"{kind}.parquet", row_group_size=GROUP_ROWS)


def plain_loop(threads: int, catalogue: Path, folder: Path) -> ResultRow:
    """Run ``loop_here`` in a process of its own."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    arguments = (threads, catalogue, folder, sender)
    process = multiprocessing.get_context("spawn").Process(target=loop_here, args=arguments)
    process.start()
    sender.close()
    row: ResultRow = receiver.recv()
    process.join()
    return row


def loop_here(threads: int, catalogue: Path, folder: Path, sender: Any) -> None:
    """Embed the catalogue in sorted batches; writes loop.npy and sends the times."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import torch

    from r4t_ray.encoders import EncoderConfig
    from r4t_ray.encoders.stream import KINDS, catalogue_texts
    from r4t_ray.types import TextKind

    torch.set_num_threads(threads)
    texts: list[str] = []
    kinds: list[TextKind] = []
    for kind in KINDS:
        for number in range(pq.read_metadata(catalogue / f"{kind}.parquet").num_row_groups):
            for part in catalogue_texts(pa.table({"kind": [kind], "number": [number]}), catalogue):
                texts += part["text"].to_pylist()
        kinds += ["query" if kind == "queries" else "document"] * (len(texts) - len(kinds))
    encoder = EncoderConfig(batch_size=LOOP_BATCH).build()
    started, cpu = time.time(), time.process_time()
    emb_ND = np.empty((len(texts), encoder.native_dim), np.float32)
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    for start in range(0, len(order), LOOP_BATCH):
        rows = order[start : start + LOOP_BATCH]
        emb_ND[rows] = encoder.encode([texts[row] for row in rows], [kinds[row] for row in rows])
    seconds, cpu_s = time.time() - started, time.process_time() - cpu
    sender.send({"texts": len(texts), "to_last_vector_s": seconds, "seconds": seconds, "cpu_s": cpu_s})
    np.save(folder / "loop.npy", emb_ND)


def run_stage(threads: int, catalogue: Path, folder: Path) -> ResultRow:
    """Run the embed stage once in a new local Ray; its actor notes when it is ready and its CPU time."""
    import pyarrow as pa

    from r4t_ray.config import Resources
    from r4t_ray.encoders import EncoderConfig
    from r4t_ray.encoders.embed import embed_catalogue
    from r4t_ray.encoders.stream import EmbedBatch
    from r4t_ray.machine.ray_sessions import connected_to_ray

    notes = folder.with_suffix(".jsonl")

    class NotingBatch(EmbedBatch):
        def __init__(self, config: EncoderConfig) -> None:
            super().__init__(config)
            notes.write_text(json.dumps({"ready": time.time()}) + "\n", encoding="utf-8")

        def __call__(self, batch: pa.Table) -> pa.Table:
            before = time.process_time()
            table = super().__call__(batch)
            with notes.open("a", encoding="utf-8") as file:
                call = {"texts": len(table), "cpu_s": time.process_time() - before, "ended": time.time()}
                file.write(json.dumps(call) + "\n")
            return table

    folder.mkdir()
    with connected_to_ray():
        config = EncoderConfig(actors=Resources(cpus=0.5, threads=threads))
        texts = embed_catalogue(config, catalogue, folder, actor=NotingBatch)
        ended = time.time()
    ready, *calls = map(json.loads, notes.read_text(encoding="utf-8").splitlines())
    assert sum(call["texts"] for call in calls) == texts
    return {
        "texts": texts,
        "to_last_vector_s": calls[-1]["ended"] - ready["ready"],
        "seconds": ended - ready["ready"],
        "cpu_s": sum(call["cpu_s"] for call in calls),
        "calls": len(calls),
    }


def loops_projected(emb_ND: Array, folder: Path) -> Array:
    """The loop's vectors in the space of the stage."""
    from safetensors.numpy import load_file

    from r4t_ray.encoders.encoder import PROJECTION_FILE, project

    return project(emb_ND, load_file(folder / "model" / PROJECTION_FILE)["projection"])


def stage_vectors(folder: Path) -> Array:
    """The vectors that the stage wrote, in the order of the loop's."""
    from r4t_ray.embedding_table import read_embedding_table
    from r4t_ray.encoders.stream import KINDS

    return np.concatenate([read_embedding_table(folder / f"{kind}.parquet")[1] for kind in KINDS])


BENCHMARK = Benchmark(
    name="embed",
    settings=EmbedSettings,
    measure=measure,
    tables=lambda result: [embed_table(result)],
    about=__doc__,
)

if __name__ == "__main__":
    BENCHMARK.main()
