"""A small workspace whose embeddings are hashes, made without Ray and without a model."""

from __future__ import annotations

import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from r4t_ray import catalogue, index
from r4t_ray.artifacts import Workspace
from r4t_ray.embedding_table import embedding_table
from r4t_ray.types import Array

from ..conftest import DIM, SEED, NoSettings, write_catalogue


def hashed(texts: Sequence[str]) -> Array:
    rows = [np.random.default_rng(zlib.crc32(text.encode())).normal(size=DIM) for text in texts]
    return np.array([row / np.linalg.norm(row) for row in rows], np.float32)


@pytest.fixture(scope="session")
def dishes(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """48 sets of 18 items, with an index of two flat shards; for reading only."""
    root = tmp_path_factory.mktemp("dishes")
    workspace = Workspace(root / "workspace")
    settings = TypeAdapter(catalogue.CatalogueConfig).validate_python(write_catalogue(root / "catalogue"))
    catalogue.run(settings, workspace, SEED)

    def embed(folder: Path) -> int:
        for kind, key in (("items", "item_id"), ("sets", "set_id"), ("queries", "query_id")):
            ids = pq.read_table(workspace.root / "catalogue" / f"{kind}.parquet")[key].to_pylist()
            pq.write_table(embedding_table(ids, hashed(ids)), folder / f"{kind}.parquet")
        return 3

    workspace.build("encoder", NoSettings(), SEED, ["catalogue"], embed)
    index.run(index.IndexConfig(type="flat", num_shards=2), workspace, SEED)
    return workspace


@pytest.fixture
def workspace(dishes: Workspace, tmp_path: Path) -> Workspace:
    """A copy of the workspace, which a test may change."""
    shutil.copytree(dishes.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")
