"""Compare the rules of ``pairs.select``: the reward of the selected pairs, and the retriever trained on them.

``python -m benchmarks.select WORKSPACE PAIRS`` needs a workspace with finished catalogue, encoder and index stages, and
a folder with all pairs of one task, several per query (``benchmarks.synthesize --pairs`` writes one). Each rule selects
among the pairs of each query, as the pairs stage does. For each seed a retriever is trained on each selection, with the
same settings and number of updates.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from pydantic import Field, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.retrievers import COMPARED, fit, sampling, scored, trial_of
from benchmarks.tables.quality import select_table
from r4t_ray.artifacts import Workspace
from r4t_ray.config import load_settings
from r4t_ray.diffusion.training.stage import pool_of
from r4t_ray.experiment import Experiment
from r4t_ray.measures.bootstrap import bootstrap_mean
from r4t_ray.pairs.select import SelectAbove, SelectAll, SelectBest, SelectRule
from r4t_ray.types import Task


class SelectSettings(BenchmarkSettings):
    """The pairs that the rules select from, and the training of the retrievers."""

    workspace: Annotated[Path, POSITIONAL] = Field(
        description="Folder with finished catalogue, encoder and index stages."
    )
    pairs: Annotated[Path, POSITIONAL] = Field(description="Folder with the parquet files of one task.")
    task: Task = Field("wscr", description="The task of the pairs.")
    config: Path = Field(
        Path("jobs/configs/cookbook.yaml"), description="YAML file whose diffusion section trains the retrievers."
    )
    seeds: PositiveInt = Field(2, description="Retrievers trained per rule, each with another seed.")
    draws: PositiveInt = Field(1, description="Answers per query, each with different noise.")


def measure(settings: SelectSettings) -> Result:
    """Apply every rule, train on its selection, and answer the held-out queries."""
    pairs = pads.dataset(settings.pairs, format="parquet").to_table()
    median = float(np.nanmedian(pairs["reward"].to_numpy()))
    rules: dict[str, SelectRule] = {
        "all": SelectAll(),
        "best half": SelectBest(type="best", fraction=0.5),
        "best quarter": SelectBest(type="best", fraction=0.25),
        "best one": SelectBest(type="best", fraction=1e-6),
        f"above {median:.3f}": SelectAbove(type="above", reward=median),
    }
    result = new_result("select", settings)
    result.rows = [row for name, rule in rules.items() for row in trained(settings, name, selected(pairs, rule))]
    return result


def selected(pairs: pa.Table, rule: SelectRule) -> pa.Table:
    """Apply the rule to the pairs of each query; returns the selected pairs in order."""
    rows_of: dict[str, list[int]] = defaultdict(list)
    for row, query_id in enumerate(pairs["query_id"].to_pylist()):
        rows_of[query_id].append(row)
    rewards, weights = pairs["reward"].to_numpy(), pairs["weight"].to_numpy()
    chosen = [rows[n] for rows in rows_of.values() for n in rule.choose(rewards[rows].tolist(), weights[rows].tolist())]
    return pairs.take(sorted(chosen))


def trained(settings: SelectSettings, rule: str, pairs: pa.Table) -> list[ResultRow]:
    """Train on the pairs once per seed and answer the held-out queries; returns one row per measure."""
    task = settings.task
    config, trial = load_settings(Experiment, settings.config).diffusion, trial_of(settings.workspace, task)
    solver, pool = config.sampler[task].solver, pool_of(config, Workspace(settings.workspace), task)
    found = []
    with tempfile.TemporaryDirectory() as place:
        pq.write_table(pairs, Path(place) / "pairs.parquet")
        for seed in range(settings.seeds):
            retriever = fit(config, Path(place), task, seed, pool)
            found.append(scored(trial, sampling(retriever), solver, settings.draws))
    weight_N, reward_N = pairs["weight"].to_numpy(), pairs["reward"].to_numpy()
    reward = float(np.average(reward_N, weights=weight_N))
    return [
        {
            "rule": rule,
            "pairs": len(pairs),
            "fan_outs": int(weight_N.sum()),
            "reward": reward,
            "measure": name,
            "value": asdict(bootstrap_mean(np.mean([values[name] for values in found], axis=0), 1000, 0)),
        }
        for name in COMPARED[task]
    ]


BENCHMARK = Benchmark(
    name="select", settings=SelectSettings, measure=measure, tables=lambda result: [select_table(result)], about=__doc__
)

if __name__ == "__main__":
    BENCHMARK.main()
