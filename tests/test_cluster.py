"""cluster.yaml and the schema of the installed Ray."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import fillout_defaults, validate_config


@pytest.fixture
def cluster(repository: Path) -> dict[str, Any]:
    return yaml.safe_load((repository / "cluster.yaml").read_text(encoding="utf-8"))


def test_passes_rays_own_validation(cluster: dict[str, Any]) -> None:
    validate_config(fillout_defaults(cluster))


def test_validation_refuses_an_unknown_key(cluster: dict[str, Any]) -> None:
    faulty = copy.deepcopy(cluster) | {"num_workers": 3}
    with pytest.raises(jsonschema.ValidationError, match="num_workers"):
        validate_config(fillout_defaults(faulty))


def test_workers_fit_under_the_cluster_wide_limit(cluster: dict[str, Any]) -> None:
    workers = {
        name: kind for name, kind in cluster["available_node_types"].items() if name != cluster["head_node_type"]
    }
    assert sum(kind["max_workers"] for kind in workers.values()) <= cluster["max_workers"]


def test_image_holds_the_pinned_ray(cluster: dict[str, Any], repository: Path) -> None:
    lock = (repository / "requirements" / "cpu.txt").read_text(encoding="utf-8")
    version = cluster["docker"]["image"].split(":")[1].split("-")[0]
    assert f"\nray=={version} " in lock
