"""Another workspace takes the place of the one that is served: at once, whole, and kept over a restart."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import ArtifactError, MachineError, RequestError
from r4t_ray.retrieval.live.versions import Loaded, beside, serve_from, served_workspace, serving_path
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.app import build_app
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.generator import Generator
from r4t_ray.serve.writer import Writer, fitting

from .conftest import TIES, client_in_process

ASKED: dict[str, Any] = {"query": "a red thing", "k": 3, "n": 4}
LINEN = {"item_id": "p-linen", "text": "white linen sunhat"}


def talk_to(old: Workspace, monkeypatch: pytest.MonkeyPatch, talk: Callable[..., Awaitable[Any]], **args: Any) -> Any:
    """The result of a conversation with a server that starts with ``old``."""

    async def talked() -> Any:
        settings = AppArgs(workspace=str(old.root), **args)
        generator = Generator.func_or_class(settings) if settings.models == "deployed" else None
        async with client_in_process(generator, settings, monkeypatch) as client:
            gateway: Any = serve.get_replica_context().servable_object
            return await talk(client, generator or gateway._models)

    return asyncio.run(talked())


async def post(client: httpx.AsyncClient, path: str, status: int = 200, **body: Any) -> Any:
    reply = await client.post(path, json=body)
    assert reply.status_code == status, reply.text
    return reply.json()


async def ask(client: httpx.AsyncClient) -> dict[str, Any]:
    return await post(client, "/v1/retrieve", **ASKED)  # type: ignore[no-any-return]


def test_every_answer_is_of_one_workspace(old: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = [old.root, old.root.parent / "new"]
    expected = {root.name: parts_of(Retriever(root).answer(parse_request(**ASKED)).model_dump()) for root in roots}

    async def talk(client: httpx.AsyncClient, _: Any) -> list[str]:
        async def ask_on() -> list[dict[str, Any]]:
            answers = []
            while not done.is_set():
                answers.append(await ask(client))
            return answers

        done = asyncio.Event()
        asking = [asyncio.create_task(ask_on()) for _ in range(4)]
        names = ["new", "old", "new"]
        for name in names:
            await asyncio.sleep(0.05)
            swapped = await post(client, "/v1/admin/activate", workspace=name)
            assert (swapped["generation"], swapped["saved"], swapped["generations"]) == (0, None, [0])
            assert parts_of(await ask(client)) == expected[name]
            index = (await client.get("/v1/index")).json()
            assert (index["workspace"], index["embedding_field"]) == (name, "embedding")
        done.set()
        answers = [parts_of(answer) for found in await asyncio.gather(*asking) for answer in found]
        return [next(name for name, whole in expected.items() if answer == whole) for answer in answers]

    assert set(talk_to(old, monkeypatch, talk)) == {"old", "new"}


def parts_of(answer: dict[str, Any]) -> tuple[Any, ...]:
    """What comes from the generator, from the index and from the gateway. Scores depend on the batch, by rounding."""
    ids = [[item["id"] for item in direction["items"]] for direction in answer["directions"]]
    return ids, [(item["id"], item["text"]) for item in answer["items"]], answer["model"]


def test_it_is_kept_over_a_restart_and_undone(old: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    async def swap(client: httpx.AsyncClient, _: Any) -> None:
        await post(client, "/v1/admin/activate", workspace="new")

    async def back(client: httpx.AsyncClient, _: Any) -> set[str]:
        found = await ask(client)
        await post(client, "/v1/admin/activate", workspace="old")
        return {item["id"] for item in found["items"]}

    talk_to(old, monkeypatch, swap)
    build_app(AppArgs(workspace=str(old.root)))
    assert talk_to(old, monkeypatch, back) <= set(TIES)
    assert served_workspace(old).root == old.root


def test_live_changes_belong_to_their_workspace(old: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(client: httpx.AsyncClient, _: Any) -> None:
        async def sizes() -> int:
            return int((await client.get("/v1/index")).json()["tasks"]["oar"]["size"])

        size = await sizes()
        await post(client, "/v1/admin/upsert", pool="items", records=[LINEN])
        assert await sizes() == size + 1
        assert (await post(client, "/v1/admin/activate", workspace="new"))["sequence"] == 0
        assert await sizes() == len(TIES)
        await post(client, "/v1/admin/delete", pool="items", ids=["n0", "n1"])
        assert await sizes() == len(TIES) - 2
        assert (await post(client, "/v1/admin/activate", workspace="old"))["sequence"] == 1
        assert await sizes() == size + 1

    talk_to(old, monkeypatch, talk)


@pytest.mark.parametrize("models", ["inline", "deployed"])
def test_the_workspace_before_is_forgotten(old: Workspace, monkeypatch: pytest.MonkeyPatch, models: str) -> None:
    async def talk(client: httpx.AsyncClient, generator: Any) -> None:
        await post(client, "/v1/admin/activate", workspace="new")
        assert {Path(root).name for root in generator._loaded} == {"old", "new"}
        async with asyncio.timeout(30):
            while {Path(root).name for root in generator._loaded} != {"new"}:
                await asyncio.sleep(0.05)
        assert {item["id"] for item in (await ask(client))["items"]} <= set(TIES)

    talk_to(old, monkeypatch, talk, models=models, deadline_s=3.0)


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("..", "'..'"),
        (".", "'.'"),
        ("none", "'none'"),
        ("link", "'link'"),
        ("new/index", "new/index"),
        ("changed", "different"),
        ("mixed", "another 'index'"),
    ],
)
def test_what_cannot_be_served_is_refused_and_what_is_served_stays(
    old: Workspace, monkeypatch: pytest.MonkeyPatch, name: str, got: str
) -> None:
    parent = old.root.parent
    (parent / "elsewhere").mkdir()
    shutil.copytree(parent / "new", parent / "elsewhere" / "inner")
    (parent / "link").symlink_to(parent / "elsewhere" / "inner")
    for spoilt in ("changed", "mixed"):
        shutil.copytree(parent / "new", parent / spoilt)
    weights = next((parent / "changed" / "diffusion").rglob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    shutil.rmtree(parent / "mixed" / "index")
    shutil.copytree(old.root / "index", parent / "mixed" / "index")

    async def talk(client: httpx.AsyncClient, generator: Any) -> Any:
        before = await ask(client)
        error = (await post(client, "/v1/admin/activate", 422, workspace=name))["error"]
        assert parts_of(await ask(client)) == parts_of(before)
        assert {Path(root).name for root in generator._loaded} == {"old"}
        return error

    error = talk_to(old, monkeypatch, talk)
    assert error["where"] == "workspace"
    assert error["fix"]
    assert not serving_path(old).exists()


def test_other_numbers_of_shards_and_tasks_are_refused(old: Workspace) -> None:
    args = AppArgs(workspace=str(old.root))
    assert fitting(old, "new", args, {"oar": 2}).root.name == "new"
    with pytest.raises(RequestError, match="2 shards of the index oar; expected 1, which are deployed"):
        fitting(old, "new", args, {"oar": 1})
    with pytest.raises(RequestError, match=r"workspace: got serve\.default_task: wscr"):
        fitting(old, "new", args.model_copy(update={"default_task": "wscr"}), {})


def test_a_replica_that_cannot_load_leaves_what_is_served(old: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    async def talk(client: httpx.AsyncClient, generator: Any) -> Any:
        async def broken(root: str) -> None:
            raise ArtifactError("diffusion", "no memory", "memory", "add some")

        generator.prepare = broken
        return await post(client, "/v1/admin/activate", 503, workspace="new")

    error = talk_to(old, monkeypatch, talk, models="deployed")["error"]
    assert error["where"] == "workspace new"
    assert "no memory" in error["got"]
    assert served_workspace(old).root == old.root


def test_records_embedded_for_the_workspace_before_are_not_written(old: Workspace) -> None:
    new = beside(old, "new")

    async def swap_meanwhile() -> None:
        writer = Writer.func_or_class(AppArgs(workspace=str(old.root)), None, {})
        writer._switch(new)
        with pytest.raises(MachineError, match="embeddings of the workspace old; expected embeddings of new"):
            await writer._in_turn(lambda live: live.delete("items", ["n0"]), str(old.root))

    asyncio.run(swap_meanwhile())


def test_a_file_that_names_nothing_is_an_error_with_a_fix(old: Workspace) -> None:
    serve_from(old, Workspace(old.root.parent / "gone"))
    with pytest.raises(ArtifactError, match=r"serving.json: got 'gone'; .* remove the file to serve old"):
        served_workspace(old)
    serving_path(old).write_text("[]")
    with pytest.raises(ArtifactError, match="unreadable"):
        served_workspace(old)


def test_a_workspace_is_loaded_once(old: Workspace) -> None:
    loads = []
    loaded = Loaded(lambda workspace: loads.append(workspace.root.name))
    for _ in range(2):
        loaded["/a"]
        loaded["/b"]
    loaded.keep("/b")
    loaded["/b"]
    assert loads == ["a", "b"]
    assert set(loaded) == {"/b"}
