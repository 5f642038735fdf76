"""The diffusion retriever beside cheaper students of the same pairs.

``python -m benchmarks.students WORKSPACE`` takes a workspace whose ingest, embed, index, pairs and diffusion stages are
finished, fits each student on the training pairs and answers the held-out queries:

- regressor: an MLP from z_q to the L rows in their stored order, by mean squared error;
- set transformer: the retriever's network on L learnt rows in place of noise, by mean squared error to the target's
  rows as matched by the Hungarian algorithm;
- copy of nearest ("retrieve and copy"): the target of the nearest training query's best rewarded pair, or the rows
  that those of the 20 nearest have most in common, counted by the queries' cosines.

Ratios are to the retriever with its own sampler, with the 95% interval of a bootstrap over the queries.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.dataset as pads
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.retrievers import KEPT, Generate, sampling, scored, trial_of, write_rows
from r4t_ray.diffusion import STUDENT, NetworkConfig, SolverName
from r4t_ray.diffusion.hub import DiffusionRetriever
from r4t_ray.diffusion.network import SetTransformer
from r4t_ray.diffusion.training.batches import PairCollate, cached_batches, load_pairs
from r4t_ray.diffusion.training.matching import match_rows
from r4t_ray.evaluation.bootstrap import Estimate, bootstrap_mean, paired_ratio
from r4t_ray.types import TASKS, Task

HIDDEN = 512
NUM_NEIGHBOURS = 20


@dataclass(frozen=True)
class Row:
    """One measure of one student, the seconds that it took to fit, and its ratio to the retriever's."""

    task: Task
    student: str
    fit_s: float | None
    measure: str
    value: Estimate
    ratio: Estimate


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.students", description=__doc__.split("\n")[0])
    parser.add_argument("workspace", type=Path, help="folder with finished stages up to diffusion")
    parser.add_argument("--steps", type=int, default=500, help="updates of each fitted student, of 64 pairs")
    parser.add_argument("--draws", type=int, default=3, help="answers of what draws noise to each query")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file of all rows")
    return parser


def main() -> None:
    """Fit, answer, print the table."""
    options = parser().parse_args()
    rows = [
        row for task in TASKS if (options.workspace / "diffusion" / task).is_dir() for row in compare(options, task)
    ]
    print(table(rows))
    write_rows(options, rows)


def compare(options: argparse.Namespace, task: Task) -> Iterator[Row]:
    """The retriever's rows, its one-step student's, and those of the cheap students."""
    trial, folder = trial_of(options.workspace, task), options.workspace / "diffusion" / task
    teacher = DiffusionRetriever.from_pretrained(folder)
    reference = None
    for name, fit_s, solver, generate, draws in students(options, task, folder, teacher):
        values = scored(trial, generate, solver, draws)
        reference = reference or values
        for measure in KEPT[task]:
            ratio = paired_ratio(values[measure], reference[measure], 1000, 0)
            yield Row(task, name, fit_s, measure, bootstrap_mean(values[measure], 1000, 0), ratio)


def students(
    options: argparse.Namespace, task: Task, folder: Path, teacher: DiffusionRetriever
) -> Iterator[tuple[str, float | None, SolverName, Generate, int]]:
    """Name, seconds of fitting, what solver its rows are like, how it answers, and how often it is asked."""
    own = teacher.sampler.solver
    yield "diffusion", None, own, sampling(teacher), options.draws if own != "top_anchors" else 1
    if (folder / STUDENT).is_dir():
        student = DiffusionRetriever.from_pretrained(folder / STUDENT)
        yield "one-step student", None, "one_step", sampling(student), options.draws
    shape, pairs = teacher.network.config, options.workspace / "pairs" / task
    loaded = load_pairs(pairs, "train", PairCollate(shape, 1.0))
    for name, fit in (("regressor", fit_regressor), ("set transformer", fit_set_transformer)):
        torch.manual_seed(options.seed)
        started = time.monotonic()
        generate = fit(loaded, shape, options.steps, options.seed)
        yield name, time.monotonic() - started, "euler", generate, 1
    yield "copy of nearest", None, "euler", copy_nearest(pairs, loaded, 1), 1
    yield f"copy of {NUM_NEIGHBOURS} nearest", None, "top_anchors", copy_nearest(pairs, loaded, NUM_NEIGHBOURS), 1


def fit_regressor(pairs: dict[str, Tensor], shape: NetworkConfig, steps: int, seed: int) -> Generate:
    """An MLP of one hidden layer, by the squared error of all rows in their stored order."""
    width = shape.num_rows * shape.dim
    model = nn.Sequential(
        nn.Linear(shape.dim, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, width), nn.Unflatten(1, (shape.num_rows, shape.dim))
    )
    return _fitted(model, lambda rows_BLD, target_BLD: target_BLD, pairs, steps, seed)


def fit_set_transformer(pairs: dict[str, Tensor], shape: NetworkConfig, steps: int, seed: int) -> Generate:
    """The retriever's transformer on learnt rows, by the squared error of rows matched one to one."""
    return _fitted(LearntRows(shape), lambda rows_BLD, target_BLD: match_rows(target_BLD, rows_BLD), pairs, steps, seed)


class LearntRows(nn.Module):
    """z_q_BD -> (B, L, D): a set transformer whose input is the same for every query."""

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
    """The best rewarded pairs of the training queries nearest to z_q, their commonest rows first where several.

    Args:
        folder: Of the pairs, among which unrewarded ones count as worst.
        pairs: The training ones, as ``load_pairs`` reads them.
        num_neighbours: Queries, one pair each.
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
        # Stable: of equal queries the first, best rewarded, one comes first.
        near = (z_q_BD @ z_q_QD.T).sort(descending=True, stable=True)
        cos_BK, of_BK = near.values[:, :num_neighbours], near.indices[:, :num_neighbours]
        if num_neighbours == 1:
            return target_QLD[of_BK[:, 0]]
        return torch.stack([commonest(target_QLD[of], cos) for cos, of in zip(cos_BK, of_BK, strict=True)])

    return generate


def commonest(rows_KLD: Tensor, weight_K: Tensor) -> Tensor:
    """The L rows of greatest summed weight among those of K sets, (L, D); equal ones count together.

    Where fewer than L are distinct they come again, in the same order.
    """
    num_rows = rows_KLD.shape[1]
    distinct_RD, which = rows_KLD.flatten(0, 1).unique(dim=0, return_inverse=True)
    sums_R = torch.zeros(len(distinct_RD)).index_add(0, which, weight_K.repeat_interleave(num_rows))
    order_R = sums_R.argsort(descending=True, stable=True)
    return distinct_RD[order_R[torch.arange(num_rows) % len(order_R)]]


def table(rows: list[Row]) -> str:
    """A line for each student of each task."""
    lines = []
    for task in dict.fromkeys(row.task for row in rows):
        lines.append(f"{task:<5} {'student':<18} {'fit s':>6}   {'  '.join(f'{name:<46}' for name in KEPT[task])}")
        for name in dict.fromkeys(row.student for row in rows if row.task == task):
            own = [row for row in rows if (row.task, row.student) == (task, name)]
            fit_s = "-" if own[0].fit_s is None else f"{own[0].fit_s:.0f}"
            cells = (
                f"{row.value.value:.3f} [{row.value.low:.3f}, {row.value.high:.3f}] "
                f"{row.ratio.value:.1%} [{row.ratio.low:.1%}, {row.ratio.high:.1%}]"
                for row in own
            )
            lines.append(f"{'':<5} {name:<18} {fit_s:>6}   {'  '.join(f'{cell:<46}' for cell in cells)}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
