"""Limits the number of files of r4t_ray that a query enters between request and answer. Loading is not counted."""

from __future__ import annotations

import asyncio
import inspect
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import RequestError
from r4t_ray.files import write_error
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.args import AppArgs

from ..conftest import SEED, build_retrievers, settled
from .walks import walk

IN_PROCESS, OVER_HTTP = 19, 29
SOLVERS = ("top_anchors", "one_step")
"""The solvers of the shipped configurations: for wscr, and for the student that serves oar."""


@pytest.fixture(scope="module", params=SOLVERS)
def workspace(
    request: pytest.FixtureRequest, tiny_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> Workspace:
    copied = Workspace(tmp_path_factory.mktemp(request.param) / "workspace")
    shutil.copytree(tiny_workspace.root, copied.root)
    # Another seed makes the stages outdated, so they are built again.
    build_retrievers(copied, seed=SEED + 1, solver=request.param, num_anchors=8)
    return copied


def test_a_query_in_process(workspace: Workspace) -> None:
    retriever = Retriever(workspace.root)
    with walk() as files:
        retriever.retrieve("a warm soup", k=3, n=4)
    assert "r4t_ray/retrieval/compose.py" in files
    assert "r4t_ray/index/shard.py" in files
    assert len(files) <= IN_PROCESS, sorted(files)


class LocalHandle:
    """A DeploymentHandle with its methods. Its replica is an object in this process."""

    def __init__(self, replica: Any, *methods: str) -> None:
        for method in methods:
            setattr(self, method, LocalHandle(getattr(replica, method)))
        self._call = replica

    async def remote(self, *given: Any) -> Any:
        reply = self._call(*given)
        return await reply if inspect.isawaitable(reply) else reply


@pytest.mark.parametrize("shards", ["inline", "deployed"])
def test_a_query_over_http(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, shards: str) -> None:
    """All deployments run in one process, and their files are counted together."""
    from ray import serve

    from r4t_ray.serve.gateway import Gateway, api
    from r4t_ray.serve.generator import Generator
    from r4t_ray.serve.shard import Shard

    args = AppArgs(workspace=str(workspace.root), shards=shards)
    gateway_class = Gateway.func_or_class.__mro__[1]  # The class inside Serve's wrapper.

    async def send() -> tuple[httpx.Response, set[str]]:
        generator = LocalHandle(Generator.func_or_class(args), "generate")
        deployed: dict[str, list[LocalHandle]] = {"oar": [], "wscr": [], "decoder": []}
        if shards == "deployed":
            for task, handles in deployed.items():
                handles += [
                    LocalHandle(Shard.func_or_class(args, task, number), "search", "vectors") for number in range(2)
                ]
        gateway = gateway_class(args, generator, None, deployed)
        deployment = SimpleNamespace(max_ongoing_requests=args.generator.max_ongoing_requests)
        replica = SimpleNamespace(servable_object=gateway, _deployment_config=deployment)
        monkeypatch.setattr(serve, "get_replica_context", lambda: replica)
        transport = httpx.ASGITransport(app=api)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            with walk() as files:
                reply = await client.post("/v1/retrieve", json={"query": "a warm soup", "k": 3, "n": 4})
        return reply, files

    reply, files = asyncio.run(send())
    local = Retriever(workspace.root).answer(parse_request(query="a warm soup", k=3, n=4))
    assert settled(reply.json()) == settled(local)
    assert {
        f"r4t_ray/{name}.py" for name in ("serve/gateway", "serve/generator", "encoders/encoder", "index/shard")
    } <= files
    assert len(files) <= OVER_HTTP, sorted(files)


def test_the_counter_counts_calls_but_not_imports(tmp_path: Path) -> None:
    with walk() as files:
        write_error(RequestError("k", "13", "1 to 12", "ask for fewer"), tmp_path / "error.json")
        parse_request(query="soup")
    assert files == {"r4t_ray/errors.py", "r4t_ray/files.py", "r4t_ray/retrieval/request.py"}
