"""Compare the diffusion retriever with cheaper models that are fitted on the same pairs (students).

``python -m benchmarks.students WORKSPACE`` needs a workspace with finished stages up to diffusion. It fits each student
on the training pairs and answers the held-out queries:

- regressor: an MLP from z_q to the L rows in their stored order, trained by mean squared error;
- set transformer: the network of the retriever, with L learned rows in place of noise. It is trained by mean squared
  error to the target rows, which the Hungarian algorithm matches to its output;
- copy of nearest ("retrieve and copy"): the best target of the nearest training query, by reward;
- copy of 20 nearest: the most frequent rows in the best targets of the 20 nearest training queries, weighted by cosine.

Ratios are relative to the retriever with its configured sampler. Intervals are 95% bootstrap intervals over queries.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow.dataset as pads
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.retrievers import COMPARED, Generate, sampling, scored, trial_of
from benchmarks.tables.quality import students_tables
from r4t_ray.diffusion import STUDENT, NetworkConfig, SolverName
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.network import SetTransformer
from r4t_ray.diffusion.training.batches import PairCollate, cached_batches, load_pairs
from r4t_ray.diffusion.training.matching import match_rows
from r4t_ray.measures.bootstrap import bootstrap_mean, paired_ratio
from r4t_ray.types import TASKS, Task

HIDDEN = 512
NUM_NEIGHBOURS = 20


class StudentsSettings(BenchmarkSettings):
    """The workspace, and the training of the students."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder with finished stages up to diffusion.")
    steps: PositiveInt = Field(500, description="Updates of each trained student, with 64 pairs each.")
    draws: PositiveInt = Field(3, description="Answers per query of a retriever that starts from noise.")
    seed: int = Field(0, description="Seed of the fitted students.")


def measure(settings: StudentsSettings) -> Result:
    """Fit every student of every task, and answer the held-out queries."""
    result = new_result("students", settings)
    result.rows = [
        row for task in TASKS if (settings.workspace / "diffusion" / task).is_dir() for row in compare(settings, task)
    ]
    return result


def compare(settings: StudentsSettings, task: Task) -> Iterator[ResultRow]:
    """The rows of the retriever, of its one-step student and of the cheap students."""
    trial, folder = trial_of(settings.workspace, task), settings.workspace / "diffusion" / task
    teacher = DiffusionRetriever.from_pretrained(folder)
    reference = None
    for name, fit_s, solver, generate, draws in students(settings, task, folder, teacher):
        values = scored(trial, generate, solver, draws)
        reference = reference or values
        for measure in COMPARED[task]:
            ratio = paired_ratio(values[measure], reference[measure], 1000, 0)
            value = bootstrap_mean(values[measure], 1000, 0)
            yield {
                "task": task,
                "student": name,
                "fit_s": fit_s,
                "measure": measure,
                "value": asdict(value),
                "ratio": asdict(ratio),
            }


def students(
    settings: StudentsSettings, task: Task, folder: Path, teacher: DiffusionRetriever
) -> Iterator[tuple[str, float | None, SolverName, Generate, int]]:
    """Yield name, seconds to fit, a solver with the same order of rows, the generating function, and the draws."""
    own = teacher.sampler.solver
    yield "diffusion", None, own, sampling(teacher), settings.draws if own != "top_anchors" else 1
    if (folder / STUDENT).is_dir():
        student = DiffusionRetriever.from_pretrained(folder / STUDENT)
        yield "one-step student", None, "one_step", sampling(student), settings.draws
    shape, pairs = teacher.network.config, settings.workspace / "pairs" / task
    loaded = load_pairs(pairs, "train", PairCollate(shape, 1.0))
    for name, fit in (("regressor", fit_regressor), ("set transformer", fit_set_transformer)):
        torch.manual_seed(settings.seed)
        started = time.monotonic()
        generate = fit(loaded, shape, settings.steps, settings.seed)
        yield name, time.monotonic() - started, "euler", generate, 1
    yield "copy of nearest", None, "euler", copy_nearest(pairs, loaded, 1), 1
    yield f"copy of {NUM_NEIGHBOURS} nearest", None, "top_anchors", copy_nearest(pairs, loaded, NUM_NEIGHBOURS), 1


def fit_regressor(pairs: dict[str, Tensor], shape: NetworkConfig, steps: int, seed: int) -> Generate:
    """Train an MLP with one hidden layer by the squared error of all rows in their stored order."""
    width = shape.num_rows * shape.dim
    model = nn.Sequential(
        nn.Linear(shape.dim, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width), nn.Unflatten(1, (shape.num_rows, shape.dim))
    )
    return _fitted(model, lambda rows_BLD, target_BLD: target_BLD, pairs, steps, seed)


def fit_set_transformer(pairs: dict[str, Tensor], shape: NetworkConfig, steps: int, seed: int) -> Generate:
    """Train the retriever's transformer on learned rows by the squared error of rows that are matched one to one."""
    return _fitted(
        LearnedRows(shape), lambda rows_BLD, target_BLD: match_rows(target_BLD, rows_BLD), pairs, steps, seed
    )


class LearnedRows(nn.Module):
    """z_q_BD -> (B, L, D): a set transformer whose input rows are learned and the same for every query."""

    def __init__(self, shape: NetworkConfig) -> None:
        super().__init__()
        self.rows_LD = nn.Parameter(torch.randn(shape.num_rows, shape.dim))
        self.network = SetTransformer(shape)

    def forward(self, z_q_BD: Tensor) -> Tensor:
        """One pass at a constant noise level."""
        zeros_B = torch.zeros(len(z_q_BD))
        rows_BLD = self.rows_LD.expand(len(z_q_BD), -1, -1)
        made: Tensor = self.network(rows_BLD, zeros_B, z_q_BD, zeros_B.bool())
        return made


def _fitted(
    model: nn.Module, matched: Callable[[Tensor, Tensor], Tensor], pairs: dict[str, Tensor], steps: int, seed: int
) -> Generate:
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    batches = cached_batches(pairs, 64, seed)
    for _ in range(steps):
        batch = next(batches)
        rows_BLD = model(batch["z_q"])
        error_B = (rows_BLD - matched(rows_BLD.detach(), batch["Z"])).square().sum(dim=(1, 2))
        optimizer.zero_grad(set_to_none=True)
        (batch["weight"] * error_B).mean().backward()
        optimizer.step()
        schedule.step()
    model.eval()

    @torch.no_grad()
    def generate(z_q_BD: Tensor, generator: torch.Generator) -> Tensor:
        return functional.normalize(model(z_q_BD), dim=-1)

    return generate


def copy_nearest(folder: Path, pairs: dict[str, Tensor], num_neighbours: int) -> Generate:
    """Copy rows from the training queries nearest to z_q. Each query gives its pair with the highest reward.

    Args:
        folder: Folder of the pairs; a pair without a reward ranks last.
        pairs: The training pairs, as ``load_pairs`` reads them.
        num_neighbours: Number of training queries. From several queries the most frequent rows are copied.
    """
    rows = pads.dataset(folder, format="parquet").to_table(
        ["query_id", "reward"], filter=pads.field("split") == "train"
    )
    reward_N = np.nan_to_num(rows["reward"].to_numpy().astype(np.float32), nan=-np.inf)
    order_N = np.argsort(-reward_N, kind="stable")
    first_Q = np.unique(rows["query_id"].to_numpy()[order_N], return_index=True)[1]
    best_Q = torch.from_numpy(order_N[np.sort(first_Q)])
    z_q_QD, target_QLD = functional.normalize(pairs["z_q"][best_Q], dim=-1), pairs["Z"][best_Q]

    def generate(z_q_BD: Tensor, generator: torch.Generator) -> Tensor:
        # The sort is stable, so among equally near queries the one with the highest reward comes first.
        near = (z_q_BD @ z_q_QD.T).sort(descending=True, stable=True)
        cos_BK, of_BK = near.values[:, :num_neighbours], near.indices[:, :num_neighbours]
        if num_neighbours == 1:
            return target_QLD[of_BK[:, 0]]
        return torch.stack([commonest(target_QLD[of], cos) for cos, of in zip(cos_BK, of_BK, strict=True)])

    return generate


def commonest(rows_KLD: Tensor, weight_K: Tensor) -> Tensor:
    """The L rows of K sets with the greatest summed weight, (L, D); weights of equal rows are added.

    If there are fewer than L distinct rows, they are repeated in order.
    """
    num_rows = rows_KLD.shape[1]
    distinct_RD, which = rows_KLD.flatten(0, 1).unique(dim=0, return_inverse=True)
    sums_R = torch.zeros(len(distinct_RD)).index_add(0, which, weight_K.repeat_interleave(num_rows))
    order_R = sums_R.argsort(descending=True, stable=True)
    return distinct_RD[order_R[torch.arange(num_rows) % len(order_R)]]


BENCHMARK = Benchmark(
    name="students",
    settings=StudentsSettings,
    measure=measure,
    tables=students_tables,
    about=__doc__,
)

if __name__ == "__main__":
    BENCHMARK.main()
