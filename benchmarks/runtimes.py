"""What serves the encoder of queries: torch, ONNX Runtime, or ONNX Runtime with 8-bit weights.

``python -m benchmarks.runtimes WORKSPACE`` needs a workspace with an evaluated or served retriever and an encoder of
sentence-transformers. The entries keep their vectors. Only the held-out queries are embedded by each runtime, one by
one, and answered by plain search and by the retriever. The model is exported into a temporary folder.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.retrievers import trial_of
from benchmarks.tables.speed import runtimes_table
from r4t_ray.artifacts import Workspace
from r4t_ray.encoders import Encoder, load_encoder
from r4t_ray.encoders.onnx_export import export_encoder
from r4t_ray.encoders.onnx_model import OnnxModel
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.scores import score_answers
from r4t_ray.evaluation.trial import Trial
from r4t_ray.machine.threads import limit_threads
from r4t_ray.types import Array, Task

METHODS_OF: dict[Task, tuple[str, ...]] = {
    "oar": ("no_fanout_items", "r4t_diffusion"),
    "wscr": ("no_fanout_items", "r4t_diffusion_items"),
}


class RuntimesSettings(BenchmarkSettings):
    """The workspace and the threads."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder with a trained retriever of both tasks.")
    threads: PositiveInt = Field(1, description="Threads of each runtime.")


def measure(settings: RuntimesSettings) -> Result:
    """Each runtime over the same queries."""
    result, workspace = new_result("runtimes", settings), Workspace(settings.workspace)
    limit_threads(settings.threads)
    trials = {task: trial_of(settings.workspace, task) for task in METHODS_OF}
    in_torch: dict[Task, Array] = {}
    for name, encoder in encoders(workspace, settings.threads):
        row: ResultRow = {"runtime": name}
        times_ms: list[float] = []
        for task, trial in trials.items():
            emb_BD = embed_one_by_one(encoder, [query.text for query in trial.queries], times_ms)
            in_torch.setdefault(task, emb_BD)
            row[f"cosine_{task}"] = float(np.einsum("bd,bd->b", emb_BD, in_torch[task]).min())
            row |= scores_of(replace(trial, query_emb_BD=emb_BD))
        result.rows.append(row | {"ms": float(np.median(times_ms))})
        print(result.rows[-1], flush=True)
    return result


def encoders(workspace: Workspace, threads: int) -> Iterator[tuple[str, Any]]:
    """The encoder of a workspace in each runtime. Raises RuntimeError if the model cannot be exported."""
    folder = workspace.root / "encoder" / "model"
    in_torch = load_encoder(folder)
    yield "torch", in_torch
    model: Any = in_torch._model
    for name, to_int8 in (("onnx", False), ("onnx_int8", True)):
        with tempfile.TemporaryDirectory() as place:
            reason = export_encoder(model, Path(place), ["a summer dinner"], to_int8)
            if reason:
                raise RuntimeError(f"the encoder cannot be exported: {reason}")
            yield name, Encoder(OnnxModel(Path(place), name, model.prompts, threads), in_torch._projection_Dd)


def embed_one_by_one(encoder: Any, texts: list[str], times_ms: list[float]) -> Array:
    """Unit embeddings of queries, (B, D); the milliseconds of each are appended."""
    encoder.encode(["warm up"] * 2, "query")
    rows = []
    for text in texts:
        started = time.perf_counter()
        rows.append(encoder.encode([text], "query")[0])
        times_ms.append(1e3 * (time.perf_counter() - started))
    return np.stack(rows)


def scores_of(trial: Trial) -> ResultRow:
    """Theme precision of OAR or recall of WSCR, of each method."""
    bench, found = trial.make_bench(), ResultRow()
    measure = "theme_precision" if trial.task == "oar" else f"recall@{bench.k * bench.n}"
    for name in METHODS_OF[trial.task]:
        answers = METHODS[name].answer(bench, trial.queries, trial.query_emb_BD, 0)
        scores = score_answers(bench, answers, trial.queries, trial.query_emb_BD, trial.relevant_rows)
        found[f"{trial.task}_{name}"] = float(np.nanmean(scores[measure]))
    return found


BENCHMARK = Benchmark(
    name="runtimes",
    settings=RuntimesSettings,
    measure=measure,
    tables=lambda result: [runtimes_table(result)],
    about=__doc__ or "",
)

if __name__ == "__main__":
    BENCHMARK.main()
