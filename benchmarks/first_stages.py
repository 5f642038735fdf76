"""Time ingest, embed and build-index at growing catalogues, and measure their peak memory and their disk.

``python -m benchmarks.first_stages FOLDER`` makes a catalogue of products of each of ``--sizes``, with a fifth as many
sets (``benchmarks.products``), and runs each stage with default settings in a process of its own.

A stand-in embeds at every size: a sentence-transformers model that averages one random vector for each word piece
(StaticEmbedding, 384 numbers wide, MiniLM's word pieces). It costs hardly any time, so the rows show what the stages
themselves take. At ``--shipped`` sizes the shipped MiniLM embeds the same texts too.

Memory is the sum of the proportional set sizes of all processes of a stage: a shared page is counted once. CPU time
hardly depends on what else runs on the machine.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import Field, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.products import write_products
from benchmarks.tables.speed import first_stages_table
from benchmarks.usage import run_watched
from r4t_ray.encoders import EncoderConfig, resolve_model
from r4t_ray.stages import STAGES, Stage

STAND_IN, SHIPPED = "stand-in", "MiniLM"
WIDTH = 384


class FirstStagesSettings(BenchmarkSettings):
    """The sizes of the catalogues."""

    folder: Annotated[Path, POSITIONAL] = Field(description="Folder for catalogues and workspaces; emptied by size.")
    sizes: tuple[PositiveInt, ...] = Field((10_000, 100_000, 1_000_000), description="Numbers of items.")
    shipped: tuple[PositiveInt, ...] = Field((10_000,), description="Sizes that the shipped MiniLM embeds too.")


def measure(settings: FirstStagesSettings) -> Result:
    """Run the stages at each size; the result is written after each stage."""
    result = new_result("first_stages", settings)
    settings.folder.mkdir(parents=True, exist_ok=True)
    stand_in = write_stand_in(settings.folder / "stand-in")
    for size in settings.sizes:
        place = settings.folder / str(size)
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        items, sets = write_products(place, size)
        encoders = {STAND_IN: {"model": str(stand_in)}} | ({SHIPPED: {}} if size in settings.shipped else {})
        for name, encoder in encoders.items():
            config = {"catalogue": {"type": "sets", "items": str(items), "sets": str(sets)}, "encoder": encoder}
            path = place / f"{name}.yaml"
            path.write_text(yaml.safe_dump(config), encoding="utf-8")
            for stage in STAGES[:3]:
                if name == STAND_IN or stage.section == "encoder":
                    result.rows.append({"size": size, "encoder": name, **run_stage(stage, path, place / "workspace")})
                    result.write(settings.out)
    return result


def write_stand_in(folder: Path) -> Path:
    """Write a sentence-transformers model with a random vector for each word piece; returns its folder."""
    import numpy as np
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(resolve_model(EncoderConfig().model)) / "tokenizer.json"))
    rows_ND = np.random.default_rng(0).standard_normal((tokenizer.get_vocab_size(), WIDTH), np.float32)
    model = SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=rows_ND)], device="cpu")
    model.save(str(folder), create_model_card=False)
    return folder


def run_stage(stage: Stage, config: Path, workspace: Path) -> ResultRow:
    """Run one stage in a process of its own."""
    command = [sys.executable, "-m", "r4t_ray.cli", stage.name, str(config), "--workspace", str(workspace)]
    footprint = run_watched(command)
    folder = workspace / stage.section
    rows = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["rows"]
    disk = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    row = {"stage": stage.name, "rows": rows, "bytes": disk, **asdict(footprint)}
    print(row, flush=True)
    return row


BENCHMARK = Benchmark(
    name="first_stages",
    settings=FirstStagesSettings,
    measure=measure,
    tables=lambda result: [first_stages_table(result)],
    about=__doc__,
)

if __name__ == "__main__":
    BENCHMARK.main()
