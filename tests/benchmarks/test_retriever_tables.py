"""The benchmarks that compare retrievers: rules, cheap students, and the list of solvers and steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.nn import functional

from benchmarks import quality, select, students
from benchmarks.evaluations import evaluations_of
from benchmarks.harness import Result, ResultRow
from benchmarks.tables.quality import quality_tables
from r4t_ray.diffusion.settings import NetworkConfig
from r4t_ray.pairs.select import SelectAbove, SelectAll, SelectBest

SHAPE = NetworkConfig(
    num_rows=3,
    dim=6,
    hidden_size=32,
    mlp_size=32,
    num_heads=2,
    num_layers=1,
    noise_dim=4,
    dropout=0,
    attention_dropout=0,
    num_anchors=0,
)


def test_every_solver_and_step_count_is_measured_once_after_the_reference() -> None:
    ways = list(quality.ways(None))
    assert ways[0] == ("sde", 256)
    assert len(set(ways)) == len(ways)
    assert {evaluations_of(*way) for way in ways if way[0] == "heun"} == {63, 15, 7, 3, 1}
    assert [way for way in ways if way[0] in ("top_anchors", "one_step")] == [("top_anchors", 1), ("one_step", 1)]


def test_a_solver_keeps_98_percent_if_all_its_measures_do() -> None:
    def row(solver: str, measure: str, ratio: float) -> ResultRow:
        value = {"value": 0.5, "low": 0.4, "high": 0.6, "n": 9}
        figures = {"measure": measure, "value": value, "ratio": {**value, "value": ratio}}
        return {"task": "oar", "solver": solver, "evaluations": 4, **figures}

    rows = [row("sde", "oar_reward", 0.98), row("sde", "vendi", 1.2), row("heun", "oar_reward", 1.0)]
    rows.append(row("heun", "vendi", 0.97))
    (table,) = quality_tables(Result(benchmark="quality", rows=rows))
    assert [(line[0], line[-1]) for line in table.rows] == [("SDE", "yes"), ("Heun", "no")]


def test_rules_select_among_the_pairs_of_each_query() -> None:
    pairs = pa.table(
        {
            "query_id": ["a", "b", "a", "b", "a"],
            "reward": pa.array([0.1, 0.9, 0.8, None, 0.3], pa.float32()),
            "weight": pa.array([1, 1, 1, 3, 2], pa.int32()),
        }
    )
    assert select.selected(pairs, SelectAll()).equals(pairs)
    best = select.selected(pairs, SelectBest(type="best", fraction=0.5))
    assert best["reward"].to_pylist() == pytest.approx([0.9, 0.8, None, 0.3], nan_ok=True)
    assert select.selected(pairs, SelectAbove(type="above", reward=0.3)).num_rows == 3  # 0.3 in float32 is above 0.3


def unit_pairs(num: int) -> dict[str, torch.Tensor]:
    """Queries near one of two axes; the rows of their targets are three other axes in random order."""
    generator = torch.Generator().manual_seed(0)
    which = torch.arange(num) % 2
    z_q = functional.normalize(torch.eye(6)[which] + 0.05 * torch.randn(num, 6, generator=generator), dim=-1)
    orders = torch.stack([torch.randperm(3, generator=generator) for _ in range(num)])
    axes = torch.where(which[:, None] == 0, orders, orders + 3)
    return {"z_q": z_q, "Z": torch.eye(6)[axes], "weight": torch.ones(num)}


def test_only_the_matched_student_learns_randomly_ordered_sets() -> None:
    pairs, asked = unit_pairs(256), torch.eye(6)[:2]
    torch.manual_seed(0)
    matched, ordered = (
        fit(pairs, SHAPE, 150, 0)(asked, torch.Generator())
        for fit in (students.fit_set_transformer, students.fit_regressor)
    )
    assert sorted(matched[0].argmax(dim=-1).tolist()) == [0, 1, 2]
    assert sorted(matched[1].argmax(dim=-1).tolist()) == [3, 4, 5]
    # Without matching every row is near the mean of the set, which has cosine 0.58 with each row.
    close = [float(rows.max(dim=-1).values.mean()) for rows in (ordered, matched)]
    assert close[0] < 0.7
    assert close[1] > 0.8


def test_the_best_pair_of_the_nearest_query_is_copied(tmp_path: Path) -> None:
    pairs = unit_pairs(4)
    pairs["z_q"] = torch.eye(6)[[0, 0, 1, 1]]
    rewards = {"reward": pa.array([0.1, 0.7, None, 0.2], pa.float32()), "split": ["train"] * 4}
    pq.write_table(pa.table(rewards | {"query_id": list("aabb")}), tmp_path / "a.parquet")
    copied = students.copy_nearest(tmp_path, pairs, 1)(torch.eye(6)[[1, 0]], torch.Generator())
    assert np.array_equal(copied.numpy(), pairs["Z"][[3, 1]].numpy())


def test_the_rows_that_several_nearest_queries_share_are_copied(tmp_path: Path) -> None:
    """Sets of axes 0 1 2, 1 2 3 and 2 3 4 at cosines 0.8, 0.6 and 0; the second pair of a query is not used."""
    axes = torch.eye(6)
    pairs = {"z_q": axes[[0, 0, 1, 2]], "Z": axes[torch.tensor([[0, 1, 2], [3, 4, 5], [1, 2, 3], [2, 3, 4]])]}
    rewards = {"reward": pa.array([0.9, 0.1, 0.5, 0.7], pa.float32()), "split": ["train"] * 4}
    pq.write_table(pa.table(rewards | {"query_id": list("aabc")}), tmp_path / "a.parquet")
    asked = torch.tensor([[0.8, 0.6, 0, 0, 0, 0]])
    # The sums: 0.8 of axis 0, 1.4 of axes 1 and 2, 0.6 of axis 3.
    (copied,) = students.copy_nearest(tmp_path, pairs, 2)(asked, torch.Generator())
    assert sorted(copied[:2].argmax(dim=-1).tolist()) == [1, 2]
    assert copied[2].tolist() == axes[0].tolist()
    alone = students.commonest(axes[torch.tensor([[4, 4, 4]])], torch.ones(1))
    assert alone.tolist() == axes[[4, 4, 4]].tolist()
