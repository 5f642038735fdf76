"""The build-index stage: files, search after loading, and errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.config import Settings
from r4t_ray.embedding_table import embedding_table
from r4t_ray.errors import ArtifactError, ConfigError, MissingArtifactError
from r4t_ray.index import IndexConfig, load_index, load_shard, merge_topk, run
from r4t_ray.types import Array, Search

SIZES = {"items": 500, "sets": 60, "queries": 20}


def unit_rows(seed: int, num: int) -> Array:
    rows = np.random.default_rng(seed).normal(size=(num, 16)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)


def write_embeddings(folder: Path, first_seed: int = 0) -> int:
    for seed, (kind, size) in enumerate(SIZES.items(), first_seed):
        table = embedding_table([f"{kind}{row}" for row in range(size)], unit_rows(seed, size))
        pq.write_table(table, folder / f"{kind}.parquet")
    return sum(SIZES.values())


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path)
    workspace.build("encoder", Settings(), 0, [], write_embeddings)
    return workspace


def test_both_pools_are_built_and_found(workspace: Workspace) -> None:
    artifact = run(IndexConfig(type="hnsw", num_shards=3), workspace, seed=0)
    assert artifact.manifest.rows == 560
    oar, wscr = load_index(workspace, "oar"), load_index(workspace, "wscr")
    assert (oar.size, wscr.size, len(wscr.shards)) == (60, 500, 3)
    assert wscr.ids[17] == "items17"
    scores_BK, rows_BK = wscr.search(wscr.emb_MD[[17, 499]], 1)
    assert rows_BK.tolist() == [[17], [499]]
    assert np.abs(scores_BK - 1).max() < 1e-6
    stored = json.loads(artifact.file("wscr/index.json").read_text())
    assert stored["offsets"] == [0, 166, 333, 500]
    assert (stored["type"], stored["operating_point"]) == ("hnsw", {"ef_search": 64})
    assert 0.95 <= stored["recall_at_10"] <= 1.0


def test_a_single_shard_returns_rows_of_the_pool(workspace: Workspace) -> None:
    run(IndexConfig(type="flat", num_shards=2), workspace, seed=0)
    whole, folder = load_index(workspace, "wscr"), workspace.root / "index" / "wscr"
    parts = [load_shard(folder, number).search(Search(z_LD=whole.emb_MD[:5], num_hits=7)) for number in range(2)]
    merged = merge_topk([scores for scores, _ in parts], [rows for _, rows in parts], 7)
    scores_BK, rows_BK = whole.search(whole.emb_MD[:5], 7)
    assert np.array_equal(merged[0], scores_BK)
    assert np.array_equal(merged[1], rows_BK)
    with pytest.raises(ArtifactError, match="0 to 1"):
        load_shard(folder, 2)


def test_a_rebuilt_index_has_the_same_bytes(workspace: Workspace) -> None:
    first = run(IndexConfig(num_shards=2), workspace, seed=0).manifest.files
    (workspace.root / "index" / "manifest.json").unlink()
    assert run(IndexConfig(num_shards=2), workspace, seed=0).manifest.files == first


def test_a_target_recall_chooses_the_point_that_shards_are_loaded_with(workspace: Workspace) -> None:
    config = IndexConfig(type="ivf_flat", num_shards=2, target_recall=0.9)
    files = run(config, workspace, seed=0).manifest.files
    folder = workspace.root / "index" / "wscr"
    stored = json.loads((folder / "index.json").read_text())
    recalls = [each["recall_at_10"] for each in stored["operating_points"]]
    assert recalls[-1] >= 0.9 > max(recalls[:-1], default=0)
    assert stored["operating_points"][-1] == {**stored["operating_point"], "recall_at_10": recalls[-1]}
    assert {shard.index.nprobe for shard in load_index(workspace, "wscr").shards} == {
        stored["operating_point"]["nprobe"]
    }
    assert load_shard(folder, 1, {"nprobe": 3}).index.nprobe == 3
    (workspace.root / "index" / "manifest.json").unlink()
    assert run(config, workspace, seed=0).manifest.files == files


@pytest.mark.parametrize("name", ["wscr/shard_001.faiss", "oar/ids.parquet", "oar/index.json"])
def test_a_tampered_file_is_refused(workspace: Workspace, name: str) -> None:
    path = run(IndexConfig(num_shards=2), workspace, seed=0).file(name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match="sha256"):
        load_index(workspace, "wscr")


def test_a_truncated_shard_is_an_error_not_a_crash(workspace: Workspace) -> None:
    path = run(IndexConfig(), workspace, seed=0).file("wscr/shard_000.faiss")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ArtifactError, match="unreadable index"):
        load_shard(path.parent, 0)
    with pytest.raises(ArtifactError, match="sha256"):
        load_index(workspace, "wscr")


def test_new_embeddings_make_the_index_stale(workspace: Workspace) -> None:
    run(IndexConfig(), workspace, seed=0)
    workspace.build("encoder", Settings(), 1, [], lambda folder: write_embeddings(folder, first_seed=7))
    with pytest.raises(ArtifactError, match="another 'encoder'"):
        load_index(workspace, "wscr")


def test_wrong_settings_and_missing_stages_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"index\.num_shards: got 61; expected at most 60"):
        run(IndexConfig(num_shards=61), workspace, seed=0)
    assert not (workspace.root / "index").exists()
    with pytest.raises(MissingArtifactError, match="r4t embed"):
        run(IndexConfig(), Workspace(tmp_path / "empty"), seed=0)
