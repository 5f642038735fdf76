"""The files of serve_configs/: what Serve and our arguments take, and one deployed by the REST interface of Ray."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from r4t_ray.artifacts import Workspace
from r4t_ray.endpoints.loopback import is_loopback
from r4t_ray.serve.app import build_app
from r4t_ray.serve.args import AppArgs
from tests.jobs.conftest import Head, ray_head

__all__ = ["ray_head"]

FOLDER = Path(__file__).parents[2] / "serve_configs"
NAMES = ["cluster", "local", "single_node"]


def read(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    return loaded


def args_of(name: str) -> AppArgs:
    (application,) = ServeDeploySchema.model_validate(read(name)).applications
    return AppArgs.model_validate(application.args)


def test_these_are_the_files_and_the_pages_name_them(repository: Path) -> None:
    assert sorted(path.name for path in FOLDER.glob("*.yaml")) == [f"{name}.yaml" for name in NAMES]
    for page in ("serving.md", "cluster.md"):
        text = (repository / "docs" / page).read_text(encoding="utf-8")
        assert [name for name in NAMES if f"serve_configs/{name}.yaml" not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_serve_takes_the_file_and_its_arguments_are_typed(name: str) -> None:
    config = ServeDeploySchema.model_validate(read(name))
    (application,) = config.applications
    assert application.import_path == f"{build_app.__module__}:{build_app.__name__}"
    args = args_of(name)
    for scaling in (args.gateway, args.generator, args.shard):
        assert scaling.max_queued_requests > 0
        assert scaling.target_ongoing_requests < scaling.max_ongoing_requests
    # Other machines may not ask without a key.
    assert is_loopback(f"http://{config.http_options.host}/") or args.api_keys_file is not None


def test_each_file_is_for_another_place() -> None:
    local, one_node, cluster = map(args_of, ("local", "single_node", "cluster"))
    assert local.gateway.max_replicas == 1
    places = [(each.models, each.shards) for each in (local, one_node, cluster)]
    assert places == [("inline", "inline"), ("inline", "inline"), ("deployed", "deployed")]
    scaled = [one_node.gateway, cluster.gateway, cluster.generator, cluster.shard]
    assert all(2 <= each.min_replicas < each.max_replicas for each in scaled)
    proxies = [read(name)["proxy_location"] for name in ("local", "single_node", "cluster")]
    assert proxies == ["HeadOnly", "HeadOnly", "EveryNode"]


def wait_until(what: Callable[[], Any], seconds: float = 240) -> Any:
    """The first value of ``what`` that counts as true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.5)
    raise AssertionError(f"not within {seconds} s")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("ray_head", [True], indirect=True, ids=["machine with a token"])
def test_a_file_is_deployed_by_rest_to_a_running_ray(ray_head: Head, shop: Workspace) -> None:
    config = read("local")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        config["http_options"]["port"] = probe.getsockname()[1]
    config["applications"][0]["args"] |= {"workspace": str(shop.root), "default_task": "oar"}
    place, server = (
        f"{ray_head.job_server}/api/serve/applications/",
        f"http://127.0.0.1:{config['http_options']['port']}",
    )
    token = (Path(ray_head.environment["HOME"]) / ".ray" / "auth_token").read_text(encoding="utf-8").strip()
    with httpx.Client(trust_env=False, timeout=120) as stranger:
        assert stranger.put(place, json=config).status_code == 401
        with httpx.Client(trust_env=False, timeout=120, headers={"Authorization": f"Bearer {token}"}) as user:

            def is_taken() -> bool:
                with suppress(httpx.TransportError):  # a busy dashboard may drop a request, which may be repeated
                    return user.put(place, json=config).status_code == 200
                return False

            def is_running() -> bool:
                status = user.get(place).json()["applications"]["r4t"]
                assert status["status"] in ("DEPLOYING", "NOT_STARTED", "RUNNING"), json.dumps(status)
                return bool(status["status"] == "RUNNING")

            wait_until(is_taken)
            wait_until(is_running)
            reply = stranger.post(f"{server}/v1/retrieve", json={"query": "red linen", "k": 2, "n": 3})
            assert reply.status_code == 200, reply.text
            assert len(reply.json()["directions"]) == 2
