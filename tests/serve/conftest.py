"""A tiny workspace to serve: the real stages up to the index, and a small untrained retriever."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.config import Settings

from ..conftest import DIM, SEED

NUM_ROWS = 6


BAD_BODIES: dict[str, tuple[bytes, int, str]] = {
    "empty body": (b"", 422, "body"),
    "not JSON": (b"query=dinner", 400, "body, character 0"),
    "cut JSON": (b'{"query": "din', 400, "body, character 10"),
    "not UTF-8": (b'{"query": "\xff\xfe"}', 400, "POST /v1/retrieve"),
    "a list": (b'["dinner"]', 422, "body"),
    "null": (b"null", 422, "body"),
    "deep": (b"[" * 10_000 + b"]" * 10_000, 400, "POST /v1/retrieve"),
    "100 kB": (json.dumps({"query": "x" * 100_000}).encode(), 413, "body of POST /v1/retrieve"),
    "3,000 characters": (json.dumps({"query": "x" * 3_000}).encode(), 422, "query"),
    "empty query": (b'{"query": ""}', 422, "query"),
    "blank query": (b'{"query": " \\n\\t "}', 422, "query"),
    "no query": (b"{}", 422, "query"),
    "lone surrogate": (b'{"query": "\\ud800"}', 422, "query"),
    "surrogate key": (b'{"query": "dinner", "\\ud800": 1}', 422, "body"),
    "k = 0": (b'{"query": "dinner", "k": 0}', 422, "k"),
    "k above L": (b'{"query": "dinner", "k": 7}', 422, "k"),
    "k as text": (b'{"query": "dinner", "k": "3"}', 422, "k"),
    "k infinite": (b'{"query": "dinner", "k": 1e999}', 422, "k"),
    "k NaN": (b'{"query": "dinner", "k": NaN}', 422, "k"),
    "huge integer": (b'{"query": "dinner", "k": ' + b"9" * 6_000 + b"}", 400, "POST /v1/retrieve"),
    "n = 0": (b'{"query": "dinner", "n": 0}', 422, "n"),
    "n too large": (b'{"query": "dinner", "n": 1001}', 422, "n"),
    "seed negative": (b'{"query": "dinner", "seed": -1}', 422, "seed"),
    "seed too large": (b'{"query": "dinner", "seed": 9223372036854775808}', 422, "seed"),
    "unknown task": (b'{"query": "dinner", "task": "music"}', 422, "task"),
    "17 likes": (json.dumps({"query": "dinner", "like": ["soup"] * 17}).encode(), 422, "like"),
    "an empty wish": (b'{"query": "dinner", "avoid": ["soup", " "]}', 422, "avoid.1"),
    "a wish too long": (json.dumps({"query": "dinner", "like": ["x" * 201]}).encode(), 422, "like.0"),
    "strength negative": (b'{"query": "dinner", "strength": -1}', 422, "strength"),
    "temperature infinite": (b'{"query": "dinner", "temperature": 1e999}', 422, "temperature"),
    "unknown field": (b'{"query": "dinner", "top_k": 3}', 422, "top_k"),
}
"""Name -> body of POST /v1/retrieve, the status of its refusal, and where the error points."""


LABELS = ["lentil soups", "pies of pumpkin"]


def write_labels(path: Path) -> None:
    """Two sub-queries, with unit embeddings of their own, as the pairs stage writes them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    emb = pa.FixedSizeListArray.from_arrays(pa.array(np.eye(2, DIM, dtype=np.float16).ravel()), DIM)
    pq.write_table(pa.table({"text": LABELS, "count": [3, 1], "emb": emb}), path)


class NoSettings(Settings):
    """Settings of a stage that has none."""


def build_retrievers(workspace: Workspace, seed: int = SEED) -> None:
    """The pairs and diffusion folders with retrievers of random weights, saved as the stage saves them."""
    import torch

    from r4t_ray.diffusion import DiffusionRetriever
    from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig, SamplerConfig

    def save(folder: Path) -> int:
        network = NetworkConfig(
            num_rows=NUM_ROWS, dim=DIM, hidden_size=32, mlp_size=32, num_heads=2, num_layers=2, num_anchors=0
        )
        noise = NoiseConfig(sigma_min=0.05, sigma_max=1.0, sigma_data=DIM**-0.5)
        for task in ("oar", "wscr"):
            torch.manual_seed(seed)
            retriever = DiffusionRetriever(network, noise, SamplerConfig(solver="heun", num_steps=6))
            with torch.no_grad():  # The output layers start at zero, which would hide query and seed of the weights.
                for parameter in retriever.parameters():
                    parameter.normal_(0, 0.3)
            retriever.save_pretrained(folder / task)
        write_labels(folder / "oar" / "labels.parquet")
        return 2

    def no_pairs(folder: Path) -> int:
        (folder / "pairs.txt").write_text("none", encoding="utf-8")
        return 0

    workspace.build("pairs", NoSettings(), seed, ["embed", "index"], no_pairs)
    workspace.build("diffusion", NoSettings(), seed, ["pairs"], save)


ADDED_ITEMS = {"i-more lentil": "lentil", "i-quince jelly": "quince jelly"}
ADDED_SETS = {"s-quince-tart": "quince tart"}
"""Id -> text of the entries of ``grown_workspace``; the first item reads as the old item i-lentil does."""


@pytest.fixture(scope="session")
def grown_workspace(tiny_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny workspace after `r4t add`."""
    from r4t_ray.additions import add

    folder = tmp_path_factory.mktemp("grown")
    shutil.copytree(tiny_workspace.root, folder / "workspace")
    items = [{"item_id": key, "text": text} for key, text in ADDED_ITEMS.items()]
    sets = [{"set_id": key, "title": title, "item_ids": ["i-quince jelly"]} for key, title in ADDED_SETS.items()]
    for name, rows in (("items", items), ("sets", sets)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    workspace = Workspace(folder / "workspace")
    add(workspace, items=folder / "items.jsonl", sets=folder / "sets.jsonl")
    return workspace


@pytest.fixture(scope="session")
def tiny_workspace(indexed_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The indexed workspace, with a retriever a task."""
    root = tmp_path_factory.mktemp("serve") / "workspace"
    shutil.copytree(indexed_workspace.root, root)
    workspace = Workspace(root)
    build_retrievers(workspace)
    return workspace
