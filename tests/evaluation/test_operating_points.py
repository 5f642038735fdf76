"""Operating points that are chosen on generated directions: what is written, who uses it, and when it is stale."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from r4t_ray import index
from r4t_ray.artifacts import OPERATING_POINTS, Workspace
from r4t_ray.errors import ArtifactError
from r4t_ray.evaluation.operating_points import NUM_DIRECTIONS, TuningInputs, directions, tune_served
from r4t_ray.retrieval.loading import load_index_shards, tuned_point


@pytest.fixture
def copied(tiny_workspace: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(tiny_workspace.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def test_points_are_measured_on_unit_directions_and_go_stale_with_the_index(copied: Workspace) -> None:
    assert tuned_point(copied, "oar") is None
    z_ND = directions(copied, "oar", seed=0, num_queries=3)
    assert len(z_ND) <= 3 * NUM_DIRECTIONS
    assert np.abs(np.linalg.norm(z_ND, axis=1) - 1).max() < 1e-5
    assert np.array_equal(z_ND, directions(copied, "oar", seed=0, num_queries=3))
    before = copied.artifact("index").manifest
    artifact = tune_served(copied, 0.99, seed=0)
    assert copied.artifact("index").manifest == before
    stored = json.loads(artifact.file("wscr.json").read_text())
    assert (stored["type"], stored["target_recall"], stored["operating_point"]) == ("flat", 0.99, {})
    (only,) = stored["operating_points"]
    assert only["recall_at_10"] == 1.0
    assert only["ms"] > 0
    assert (tuned_point(copied, "oar"), tuned_point(copied, "decoder")) == ({}, None)
    assert not tune_served(copied, 0.99, seed=0).is_new
    index.run(index.IndexConfig(type="flat", num_shards=1), copied, 0)
    with pytest.raises(ArtifactError, match="--target-recall"):
        tuned_point(copied, "oar")


def test_serving_sets_the_chosen_point(copied: Workspace) -> None:
    index.run(index.IndexConfig(type="hnsw", num_shards=2), copied, 0)

    def make(folder: Path) -> int:
        (folder / "oar.json").write_text(json.dumps({"operating_point": {"ef_search": 33}}))
        return 1

    copied.build(OPERATING_POINTS, TuningInputs(target_recall=0.9), 0, ["index"], make)
    shards = load_index_shards(copied, "oar", with_index=True)
    assert [shard.index.hnsw.efSearch for shard in shards] == [33, 33]
    assert {shard.index.hnsw.efSearch for shard in load_index_shards(copied, "wscr", with_index=True)} == {64}
