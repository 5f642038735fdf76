"""The cells that the workspace's benchmark times for a retriever and its student, on toy shapes."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from benchmarks.fanout_workspace import Subject, WorkspaceGrid, compiled, measure_diffusion
from benchmarks.harness import Result
from benchmarks.stopwatch import Board
from r4t_ray.diffusion import STUDENT, DiffusionRetriever, NetworkConfig, SamplerConfig
from r4t_ray.evaluation.bench import Bench

SHAPE = NetworkConfig(
    num_rows=3,
    dim=6,
    hidden_size=16,
    mlp_size=16,
    num_heads=2,
    num_layers=1,
    dropout=0,
    attention_dropout=0,
    num_anchors=6,
)


class Axes:
    """A pool of the six axes."""

    ids = tuple("abcdef")
    emb_MD = np.eye(6, dtype=np.float32)

    def search(self, q_BD: Any, k: int) -> tuple[Any, Any]:
        rows_Bk = np.argsort(-q_BD, axis=1)[:, :k]
        return np.take_along_axis(q_BD, rows_Bk, 1), rows_Bk


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A retriever of six anchors and its student."""
    for place, solver in ((tmp_path, "euler"), (tmp_path / STUDENT, "one_step")):
        retriever = DiffusionRetriever(SHAPE, sampler=SamplerConfig(solver=solver, num_steps=2, guidance=0.0))
        retriever.mixture.anchors_ND.copy_(torch.eye(6))
        retriever.save_pretrained(place)
    return tmp_path


def test_every_cell_of_the_retriever_and_one_of_its_student_are_measured(folder: Path) -> None:
    grid = WorkspaceGrid(
        task="oar",
        batches=(2,),
        evaluations=(1, 4),
        solvers=("heun",),
        modes=("eager",),
        scopes=("fan-out", "with search"),
        guidance=None,
        threads=None,
        seed=0,
    )
    queries = [SimpleNamespace(text=letter) for letter in "abc"]
    trial: Any = SimpleNamespace(queries=queries, query_emb_BD=np.eye(6, dtype=np.float32)[:3])
    encoder: Any = SimpleNamespace(encode=lambda texts: np.eye(6, dtype=np.float32)[["abc".index(t) for t in texts]])
    unread: Any = None
    bench = Bench(
        task="oar",
        index=cast(Any, Axes()),
        k=2,
        n=2,
        train_emb_BD=unread,
        train_references=unread,
        val_queries=unread,
        val_emb_BD=unread,
        fits=unread,
        reward=unread,
        specific=unread,
        num_candidates=unread,
        temperature=unread,
        solver=None,
        num_steps=None,
        guidance=None,
        encode=unread,
        policy=unread,
        retriever=unread,
        decoder=unread,
    )
    board = Board(
        synchronize=lambda: None, result=Result(benchmark="fanout"), out=None, deadline=float("inf"), call_limit_s=60.0
    )
    measure_diffusion(Subject(trial=trial, bench=bench, encoder=encoder, grid=grid), board, folder)
    assert [row["not_measured"] for row in board.result.rows] == [None] * 8
    kinds = [(row["what"], row["evaluations"]) for row in board.result.rows if row["scope"] == "fan-out"]
    assert kinds == [
        ("diffusion configured euler", 2),
        ("diffusion heun", 1),
        ("diffusion heun", 3),
        ("student configured one_step", 1),
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", STUDENT])
def test_compiled_and_eager_retrievers_give_the_same_rows(folder: Path, name: str) -> None:
    z_q_BD = torch.eye(6)[:2]
    plain, fast = (
        made.generate(z_q_BD, generator=torch.Generator().manual_seed(0))
        for made in (DiffusionRetriever.from_pretrained(folder / name), compiled(folder / name))
    )
    torch.testing.assert_close(plain, fast, atol=1e-5, rtol=0)
