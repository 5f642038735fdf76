"""Toy pools of a few unit vectors, with answers that can be computed by hand, and a small complete workspace.

The workspace has a real index and a real diffusion retriever. The language model is scripted, and the encoder hashes
texts.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.decoder import Decoder, DecoderConfig, PoolDecoder
from r4t_ray.decoder import run as train_decoder
from r4t_ray.diffusion import DiffusionRetriever, NetworkConfig, SamplerConfig
from r4t_ray.embedding_table import embedding_table
from r4t_ray.evaluation import trial
from r4t_ray.evaluation.bench import Bench, Fits
from r4t_ray.folm import FanOutModel, FolmConfig
from r4t_ray.index import IndexConfig, Shard, flat_shard
from r4t_ray.index import run as build_index
from r4t_ray.rewards import OARConfig
from r4t_ray.types import Array, Rows


@dataclass(frozen=True)
class ToyQuery:
    query_id: str
    text: str
    item_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class FlatIndex:
    """Exhaustive search. Ties go to the lower row."""

    emb_MD: Array

    @property
    def ids(self) -> list[str]:
        return [f"item{row}" for row in range(len(self.emb_MD))]

    @property
    def shards(self) -> tuple[Shard, ...]:
        return (flat_shard(self.emb_MD),)

    def search(self, q_BD: Array, k: int) -> tuple[Array, Rows]:
        assert k <= len(self.emb_MD), "a search for more than the pool holds"
        cos_BM = q_BD @ self.emb_MD.T
        rows_BK = np.argsort(-cos_BM, axis=1, kind="stable")[:, :k].astype(np.int64)
        return np.take_along_axis(cos_BM, rows_BK, axis=1), rows_BK


@dataclass
class ScriptedPolicy:
    """Returns the first scripted samples of each query text, and records the arguments of each call."""

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
    """Unit vectors of the texts; a text is an angle in degrees."""
    return unit(*(float(text) for text in texts))


@pytest.fixture
def at() -> Callable[..., Array]:
    return unit


@pytest.fixture
def pool() -> Callable[..., FlatIndex]:
    """A function: a pool of unit vectors in the plane, at the given angles in degrees."""
    return lambda *degrees: FlatIndex(unit(*degrees))


@pytest.fixture
def flat() -> type[FlatIndex]:
    return FlatIndex


@pytest.fixture
def toy_query() -> type[ToyQuery]:
    return ToyQuery


@pytest.fixture
def scripted() -> type[ScriptedPolicy]:
    return ScriptedPolicy


@pytest.fixture
def bench(pool: Callable[..., FlatIndex]) -> Callable[..., Bench]:
    """A function: a bench over six items at 0, 10, ..., 50 degrees with k = n = 2. Keywords replace its fields."""

    def make(**parts: Any) -> Bench:
        defaults: dict[str, Any] = {
            "task": "wscr",
            "index": pool(0, 10, 20, 30, 40, 50),
            "k": 2,
            "n": 2,
            "train_emb_BD": unit(0),
            "train_references": [np.array([0])],
            "val_queries": [],
            "val_emb_BD": unit(0)[:0],
            "fits": Fits(),
            "reward": OARConfig(),
            "specific": None,
            "num_candidates": 1000,
            "temperature": 0.9,
            "solver": None,
            "num_steps": None,
            "guidance": None,
            "encode": encode_angles,
            "policy": lambda name: ScriptedPolicy({}),
            "retriever": lambda name: None,
        }
        parts = defaults | parts
        return Bench(**({"decoder": lambda: nearest_only(parts["index"])} | parts))

    return make


def nearest_only(index: FlatIndex) -> PoolDecoder:
    """A decoder whose score is the highest cosine to a direction."""
    size, dim = index.emb_MD.shape
    decoder = Decoder(
        shared_DD=np.zeros((dim, dim), np.float32),
        own_MD=np.zeros((size, dim), np.float32),
        bias_M=np.zeros(size, np.float32),
        beta=1.0,
    )
    return PoolDecoder(decoder=decoder, shards=(flat_shard(decoder.item_vectors(index.emb_MD)),))


DIM, NUM_SETS, NUM_ITEMS = 8, 12, 30


def encode(texts):
    rows = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=DIM) for text in texts]
    emb = np.array(rows, dtype=np.float32)
    return emb / np.linalg.norm(emb, axis=1, keepdims=True)


class HashEncoder:
    dim = DIM

    def encode(self, texts, kinds="query"):
        return encode(texts)


class WordyModel:
    """A language model whose sub-queries are the query and a number. The trained weights emit texts of pool items."""

    def __init__(self, folder):
        self.trained = folder.name == "model"

    def load_weights(self, folder):
        self.trained = folder.name == "model"

    def fan_out(self, task, queries, k, *, num_samples, temperature, seed):
        kind = "item" if task == "wscr" else "set"
        return [
            [
                tuple(f"{kind} {(i + sample) % 9}" if self.trained else f"{text} {i} {sample + seed}" for i in range(k))
                for sample in range(num_samples)
            ]
            for text in queries
        ]


def write_ingest(folder, num_test):
    split = ["test"] * num_test + ["train"] * (NUM_SETS - num_test)
    items = [f"i{row}" for row in range(NUM_ITEMS)]
    members = [[items[(2 * row + step) % NUM_ITEMS] for step in range(4)] for row in range(NUM_SETS)]
    columns = {"item_id": items, "text": [f"item {row}" for row in range(NUM_ITEMS)], "attributes": ["{}"] * NUM_ITEMS}
    pq.write_table(pa.table(columns), folder / "items.parquet")
    names = [f"s{row}" for row in range(NUM_SETS)]
    titles = [f"set {row}" for row in range(NUM_SETS)]
    columns = {"set_id": names, "title": titles, "description": [""] * NUM_SETS, "item_ids": members}
    pq.write_table(pa.table(columns), folder / "sets.parquet")
    columns = {
        "query_id": [f"{task}-{row}" for task in ("oar", "wscr") for row in range(NUM_SETS)],
        "task": ["oar"] * NUM_SETS + ["wscr"] * NUM_SETS,
        "text": [f"theme {row}" for row in range(NUM_SETS)] + titles,
        "item_ids": pa.array([[]] * NUM_SETS + members, pa.list_(pa.string())),
        "split": split * 2,
    }
    pq.write_table(pa.table(columns), folder / "queries.parquet")
    # The core of theme r is "set r", which two sets hold. No set holds the core of theme 4.
    columns = {
        "core": titles,
        "query_ids": pa.array([[f"oar-{row}"] for row in range(NUM_SETS)], pa.list_(pa.string())),
        "set_ids": pa.array(
            [[] if row == 4 else [names[row], names[(row + 1) % NUM_SETS]] for row in range(NUM_SETS)],
            pa.list_(pa.string()),
        ),
    }
    pq.write_table(pa.table(columns), folder / "relevance.parquet")
    return NUM_SETS


def write_embed(ingest, folder):
    for kind, key, text in (("items", "item_id", "text"), ("sets", "set_id", "title"), ("queries", "query_id", "text")):
        table = pq.read_table(ingest / f"{kind}.parquet")
        emb_MD = encode(table[text].to_pylist())
        pq.write_table(embedding_table(table[key].to_pylist(), emb_MD), folder / f"{kind}.parquet")
    return 1


def write_folm(folder):
    for model in (folder / task / name for task in ("oar", "wscr") for name in ("model", "warm_start")):
        model.mkdir(parents=True)
        (model / "config.json").write_text("{}")
    steps = {"step": [0, 1, 0, 1], "task": ["oar", "oar", "wscr", "wscr"], "reward": [0.1, 0.2, 0.1, 0.3]}
    pq.write_table(pa.table(steps), folder / "metrics.parquet")
    return 2


def write_diffusion(folder, tasks):
    network = NetworkConfig(num_rows=4, dim=DIM, hidden_size=16, mlp_size=16, num_heads=2, num_layers=1, num_anchors=0)
    for task in tasks:
        retriever = DiffusionRetriever(network=network, sampler=SamplerConfig(solver="heun", num_steps=2))
        retriever.save_pretrained(folder / task)
    return 2


@pytest.fixture
def encode_by_hash():
    return encode


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A function: a workspace with every stage before `evaluate`."""
    return maker_of(tmp_path, monkeypatch)


def maker_of(place, monkeypatch):
    """The function of the fixture ``workspace``, for a workspace below ``place``."""
    monkeypatch.setattr(trial, "load_encoder", lambda folder: HashEncoder())
    monkeypatch.setattr(FanOutModel, "load", lambda folder, config, resources=None: WordyModel(folder))

    def make(num_test=5, tasks=("oar", "wscr"), stages=("folm", "diffusion"), retrievers=("oar", "wscr")):
        ws, settings = Workspace(place / "ws"), IndexConfig(type="flat")
        ws.build("catalogue", settings, 0, [], lambda folder: write_ingest(folder, num_test))
        ws.build("encoder", settings, 0, ["catalogue"], lambda folder: write_embed(ws.root / "catalogue", folder))
        build_index(settings, ws, 0)
        if "folm" in stages:
            ws.build("folm", FolmConfig(tasks=tasks), 0, ["index"], write_folm)
        if "diffusion" in stages:
            ws.build("diffusion", settings, 0, ["index"], lambda folder: write_diffusion(folder, retrievers))
            train_decoder(DecoderConfig(max_steps=2), ws, 0)
        return ws

    return make
