"""Compare the rules of ``pairs.select``: the reward of the selected pairs, and the retriever trained on them.

``python -m benchmarks.select WORKSPACE PAIRS`` needs a workspace with finished catalogue, encoder and index stages, and
a folder with all pairs of one task, several for each query (``benchmarks.synthesize --pairs`` writes one). Each rule
selects among the pairs of each query, as the pairs stage does. One retriever is trained on each selection, with the
same settings and number of updates.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from benchmarks.retrievers import KEPT, fit, sampling, scored, trial_of, write_rows
from r4t_ray.config import load_settings
from r4t_ray.evaluation.bootstrap import Estimate, bootstrap_mean
from r4t_ray.experiment import Experiment
from r4t_ray.pairs.select import SelectAbove, SelectAll, SelectBest, SelectRule
from r4t_ray.types import Task


@dataclass(frozen=True)
class Row:
    """One rule: pairs kept, the fan-outs that they stand for, their mean reward, and one measure of the retriever."""

    rule: str
    pairs: int
    fan_outs: int
    reward: float
    measure: str
    value: Estimate


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.select", description=__doc__.split("\n")[0])
    parser.add_argument("workspace", type=Path, help="folder with finished ingest, embed and index stages")
    parser.add_argument("pairs", type=Path, help="folder of one task's parquet files")
    parser.add_argument("--task", choices=("oar", "wscr"), default="wscr")
    parser.add_argument(
        "--config", type=Path, default=Path("jobs/configs/cookbook.yaml"), help="whose diffusion section"
    )
    parser.add_argument("--seeds", type=int, default=2, help="trainings a rule")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file of all rows")
    return parser


def main() -> None:
    """Apply, train, answer, print."""
    options = parser().parse_args()
    table_all = pads.dataset(options.pairs, format="parquet").to_table()
    median = float(np.nanmedian(table_all["reward"].to_numpy()))
    rules: dict[str, SelectRule] = {
        "all": SelectAll(),
        "best half": SelectBest(type="best", fraction=0.5),
        "best quarter": SelectBest(type="best", fraction=0.25),
        "best one": SelectBest(type="best", fraction=1e-6),
        f"above {median:.3f}": SelectAbove(type="above", reward=median),
    }
    rows = [row for name, rule in rules.items() for row in measured(options, name, kept(table_all, rule))]
    print(table(rows))
    write_rows(options, rows)


def kept(pairs: pa.Table, rule: SelectRule) -> pa.Table:
    """The rows that a rule keeps of each query's own."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, query_id in enumerate(pairs["query_id"].to_pylist()):
        rows_of[query_id].append(row)
    rewards, weights = pairs["reward"].to_numpy(), pairs["weight"].to_numpy()
    chosen = [rows[n] for rows in rows_of.values() for n in rule.choose(rewards[rows].tolist(), weights[rows].tolist())]
    return pairs.take(sorted(chosen))


def measured(options: argparse.Namespace, name: str, pairs: pa.Table) -> list[Row]:
    """Train on some pairs, once a seed, and answer the held-out queries."""
    task: Task = options.task
    config, trial = load_settings(Experiment, options.config).diffusion, trial_of(options.workspace, task)
    solver = config.sampler_of(task).solver
    found = []
    with tempfile.TemporaryDirectory() as place:
        pq.write_table(pairs, Path(place) / "pairs.parquet")
        for seed in range(options.seeds):
            retriever = fit(config, Path(place), task, seed)
            found.append(scored(trial, sampling(retriever), solver, options.draws))
    weight_N, reward_N = pairs["weight"].to_numpy(), pairs["reward"].to_numpy()
    reward = float(np.average(reward_N, weights=weight_N))
    return [
        Row(
            name, len(pairs), int(weight_N.sum()), reward, measure,
            bootstrap_mean(np.mean([values[measure] for values in found], axis=0), 1000, 0),
        )
        for measure in KEPT[task]
    ]  # fmt: skip


def table(rows: Sequence[Row]) -> str:
    """A line for each rule."""
    measures = list(dict.fromkeys(row.measure for row in rows))
    lines = [
        f"{'rule':<14} {'pairs':>7} {'fan-outs':>8} {'reward':>7}  {'  '.join(f'{name:<22}' for name in measures)}"
    ]
    for rule in dict.fromkeys(row.rule for row in rows):
        own = [row for row in rows if row.rule == rule]
        cells = "  ".join(f"{row.value.value:.3f} [{row.value.low:.3f}, {row.value.high:.3f}]  " for row in own)
        lines.append(f"{rule:<14} {own[0].pairs:>7,} {own[0].fan_outs:>8,} {own[0].reward:>7.3f}  {cells}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
