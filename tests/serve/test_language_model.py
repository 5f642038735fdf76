"""The method folm: sub-queries that a language model writes for a request, and their nearest entries."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.encoders import resolve_model
from r4t_ray.errors import ArtifactError, ConfigError, EngineError, RequestError
from r4t_ray.folm import EngineConfig, FanOutModel, FolmConfig
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.app import build_app
from r4t_ray.serve.args import AppArgs, Scaling
from r4t_ray.serve.language_model import LanguageModel, Wish, Writers, trained_models
from r4t_ray.stages import parents_of

from ..conftest import SEED, NoSettings
from .conftest import client_in_process

QUERY = "linen for summer"
FOLM = FolmConfig(tasks=("oar",), engine=EngineConfig(type="transformers"))


def add_model(workspace: Workspace, task: str | None = "oar") -> None:
    """The stage train-folm: the shipped base model as the model of a task, or no model."""

    def make(folder: Path) -> int:
        if task is None:
            (folder / "outcome.txt").write_text("none", encoding="utf-8")
        else:
            shutil.copytree(resolve_model("package:r4t_ray/folm/base_model"), folder / task / "model")
        return 1

    workspace.build("folm", FOLM, SEED, parents_of("folm"), make)


@pytest.fixture(scope="module")
def workspace(shop: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("written") / "workspace"
    shutil.copytree(shop.root, root)
    add_model(Workspace(root))
    return Workspace(root)


@pytest.fixture(scope="module")
def writers(workspace: Workspace) -> Writers:
    return Writers(workspace, Scaling(cpus=1.0))


def wish(workspace: Workspace, query: str = QUERY, k: int = 4, seed: int = 0, temperature: float = 1.0) -> Wish:
    return Wish("oar", query, k, seed, temperature, str(workspace.root))


def test_a_wish_has_the_same_sub_queries_beside_any_others(workspace: Workspace, writers: Writers) -> None:
    wishes = [
        wish(workspace),
        wish(workspace, "scarf", k=2),
        wish(workspace, seed=2**63 - 1),
        wish(workspace, temperature=0.0),
        wish(workspace, "red dress"),
    ]
    together = writers.write(wishes)
    assert together == [one for each in wishes for one in writers.write([each])]
    assert [len(one) <= each.k for one, each in zip(together, wishes, strict=True)] == [True] * 5
    assert len(set(together)) == 5


def test_a_task_without_a_model_is_refused(writers: Writers) -> None:
    writers.require("oar")
    with pytest.raises(RequestError, match=r"folm for task wscr; expected a task of oar"):
        writers.require("wscr")


def test_a_server_with_a_language_model_needs_one_in_the_workspace(shop: Workspace, tmp_path: Path) -> None:
    shutil.copytree(shop.root, tmp_path / "workspace")
    copied = Workspace(tmp_path / "workspace")
    args = AppArgs(workspace=str(copied.root), language_model=Scaling(cpus=1.0))
    with pytest.raises(ArtifactError, match=r"folm: got no finished artifact.*run `r4t train-folm"):
        build_app(args)
    add_model(copied, task=None)
    with pytest.raises(ConfigError, match=r"serve.language_model: got .*no language model; expected .*folm.train"):
        build_app(args)
    shutil.rmtree(copied.root / "folm")
    add_model(copied)
    build_app(args)
    assert trained_models(copied) == {"oar": copied.root / "folm" / "oar" / "model"}
    copied.build("index", NoSettings(), SEED, ["encoder"], lambda folder: (folder / "x").write_text("x"))
    with pytest.raises(ArtifactError, match="built from another 'index'"):
        trained_models(copied)


def test_each_direction_is_the_search_for_its_sub_query(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    args = AppArgs(workspace=str(workspace.root), language_model=Scaling(cpus=1.0))
    body = {"query": QUERY, "method": "folm", "k": 4, "n": 5}

    async def answers() -> None:
        async with client_in_process(None, args, monkeypatch) as client:
            answer = (await client.post("/v1/retrieve", json=body)).json()
            names = [direction["label"] for direction in answer["directions"]]
            assert 1 < len(set(names)) <= 4
            plain = {"method": "none", "total": 5, "k": 4}
            for direction in answer["directions"]:
                alone = (await client.post("/v1/retrieve", json=plain | {"query": direction["label"]})).json()
                assert [item["id"] for item in direction["items"]] == [item["id"] for item in alone["items"]]
            batch = {"requests": [body, {"query": "scarf", "k": 4}, body | {"include_query": True}]}
            first, other, third = (await client.post("/v1/retrieve:batch", json=batch)).json()["answers"]
            assert first["answer"]["items"] == answer["items"]
            assert other["answer"]["directions"][0]["label"] not in names
            assert [direction["label"] for direction in third["answer"]["directions"]] == [*names, QUERY]
            fanned = (await client.post("/v1/fanout", json=body)).json()["directions"]
            assert [direction["label"] for direction in fanned] == names
            pulled = body | {"like": ["p0"], "strength": 4.0}
            moved = (await client.post("/v1/retrieve", json=pulled)).json()
            assert {direction["items"][0]["id"] for direction in moved["directions"]} == {"p0"}
            assert (await client.get("/v1/index")).json()["methods"] == ["diffusion", "mmr", "none", "folm"]
            assert (await client.get("/")).text.count('<option value="folm">Language model</option>') == 2

    asyncio.run(answers())


def test_an_answer_without_sub_queries_is_a_bad_request(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    args = AppArgs(workspace=str(workspace.root), language_model=Scaling(cpus=1.0))
    monkeypatch.setattr(Writers, "write", lambda self, wishes: [()] * len(wishes))

    async def error() -> None:
        async with client_in_process(None, args, monkeypatch) as client:
            reply = await client.post("/v1/retrieve", json={"query": QUERY, "method": "folm", "k": 4})
            assert (reply.status_code, reply.json()["error"]["fix"]) == (422, "try another seed")

    asyncio.run(error())


def test_a_replica_whose_engine_fails_each_time_is_not_healthy(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes: list[Any] = [OSError("dead"), OSError("dead"), ("red dress",), *[OSError("dead")] * 3]
    monkeypatch.setattr(Writers, "write", lambda self, wishes: [outcomes.pop(0)])
    args = AppArgs(workspace=str(workspace.root), language_model=Scaling(cpus=1.0))

    async def healthy() -> list[bool]:
        replica, seen = LanguageModel.func_or_class(args), []
        while outcomes:
            await asyncio.gather(replica.write(wish(workspace)), return_exceptions=True)
            health = await asyncio.gather(replica.check_health(), return_exceptions=True)
            seen.append(not isinstance(health[0], EngineError))
        return seen

    assert asyncio.run(healthy()) == [True] * 5 + [False]


def test_the_method_is_refused_where_no_language_model_is_deployed(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def error() -> None:
        async with client_in_process(None, AppArgs(workspace=str(workspace.root)), monkeypatch) as client:
            reply = await client.post("/v1/retrieve", json={"query": QUERY, "method": "folm", "k": 4})
            assert (reply.status_code, reply.json()["error"]["where"]) == (422, "method")
            assert "serve.language_model" in reply.json()["error"]["fix"]
            assert "folm" not in (await client.get("/")).text

    asyncio.run(error())
    with pytest.raises(RequestError, match=r"this process deploys no language model; set serve.language_model"):
        Retriever(workspace.root).retrieve(QUERY, method="folm")
    with pytest.raises(RequestError, match=r"query: got nothing; expected a query, because method folm rewrites it"):
        Retriever(workspace.root).retrieve(like=["p0"], method="folm")


def test_an_error_of_the_engine_is_that_of_its_group_alone(
    workspace: Workspace, writers: Writers, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampled: list[float] = []
    fan_out = FanOutModel.fan_out

    def refusing(self: FanOutModel, *given: Any, temperature: float, **others: Any) -> Any:
        sampled.append(temperature)
        if temperature > 1.5:
            raise ValueError("too hot")
        return fan_out(self, *given, temperature=temperature, **others)

    expected = writers.write([wish(workspace)])
    monkeypatch.setattr(FanOutModel, "fan_out", refusing)
    hot, warm, cold, least = writers.write([wish(workspace, temperature=one) for one in (10.0, 1.0, 0.0, 1e-40)])
    assert (str(hot), [warm]) == ("too hot", expected)
    assert cold
    assert least
    assert sampled == [0.0, 0.01, 0.9, 2.0]


def test_sub_queries_are_texts_and_differ(
    workspace: Workspace, writers: Writers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FanOutModel, "fan_out", lambda *_, **__: [[("pie", "\ud800 pie", "pie", "tart")]])
    assert writers.write([wish(workspace)]) == [("pie", "tart")]
