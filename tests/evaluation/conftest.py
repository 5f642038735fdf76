"""Toy worlds of a few unit vectors, in which every answer can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from r4t_ray.evaluation.bench import Bench
from r4t_ray.rewards import OARConfig
from r4t_ray.types import Array, Rows


@dataclass(frozen=True)
class ToyQuery:
    query_id: str
    text: str
    item_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class FlatIndex:
    """Exact search by a full product; ties by row."""

    emb_MD: Array

    @property
    def ids(self) -> list[str]:
        return [f"item{row}" for row in range(len(self.emb_MD))]

    def search(self, q_BD: Array, k: int) -> tuple[Array, Rows]:
        assert k <= len(self.emb_MD), "a search for more than the pool holds"
        cos_BM = q_BD @ self.emb_MD.T
        rows_BK = np.argsort(-cos_BM, axis=1, kind="stable")[:, :k].astype(np.int64)
        return np.take_along_axis(cos_BM, rows_BK, axis=1), rows_BK


@dataclass
class ScriptedPolicy:
    """Answers a query's text with its scripted samples, the first ones asked for; notes what it was asked."""

    script: dict[str, list[tuple[str, ...] | None]]
    asked: list[dict[str, Any]] = field(default_factory=list)

    def fan_out(
        self, task: str, queries: Sequence[str], k: int, *, num_samples: int, temperature: float, seed: int
    ) -> list[list[tuple[str, ...] | None]]:
        self.asked.append({"task": task, "k": k, "temperature": temperature, "seed": seed, "queries": list(queries)})
        return [self.script[text][:num_samples] for text in queries]


def unit(*degrees: float) -> Array:
    """Unit vectors of the plane at these angles."""
    radians = np.deg2rad(np.array(degrees, dtype=np.float64))
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def encode_angles(texts: Sequence[str]) -> Array:
    """A text is an angle in degrees."""
    return unit(*(float(text) for text in texts))


@pytest.fixture
def at() -> Callable[..., Array]:
    return unit


@pytest.fixture
def pool() -> Callable[..., FlatIndex]:
    """Items of the plane at the angles named."""
    return lambda *degrees: FlatIndex(unit(*degrees))


@pytest.fixture
def flat() -> type[FlatIndex]:
    return FlatIndex


@pytest.fixture
def ask() -> type[ToyQuery]:
    return ToyQuery


@pytest.fixture
def scripted() -> type[ScriptedPolicy]:
    return ScriptedPolicy


@pytest.fixture
def bench(pool: Callable[..., FlatIndex]) -> Callable[..., Bench]:
    """A bench over six items at 0, 10, ..., 50 degrees with k = n = 2; keywords replace its parts."""

    def make(**parts: Any) -> Bench:
        defaults: dict[str, Any] = {
            "task": "wscr",
            "index": pool(0, 10, 20, 30, 40, 50),
            "k": 2,
            "n": 2,
            "train_emb_BD": unit(0),
            "train_references": [np.array([0])],
            "reward": OARConfig(),
            "num_candidates": 1000,
            "mmr_lambda": 0.5,
            "temperature": 0.9,
            "solver": None,
            "num_steps": None,
            "guidance": None,
            "encode": encode_angles,
            "policy": lambda name: ScriptedPolicy({}),
            "retriever": lambda: None,
        }
        return Bench(**(defaults | parts))

    return make
