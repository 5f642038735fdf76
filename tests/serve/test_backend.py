"""`ServeBackend` over handles that call in this process: both topologies, the deadline, the health check."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import RequestError
from r4t_ray.index import Shard, load_shard
from r4t_ray.live import Change
from r4t_ray.live.log import ChangeLog, LogReader
from r4t_ray.new_entries import find_new_entries
from r4t_ray.retrieval.backend import DirectionGenerator
from r4t_ray.retrieval.live import LiveTasks, Version, Versions
from r4t_ray.retrieval.loading import folder_of_index, open_tasks, shard_rows
from r4t_ray.retrieval.open_task import Pool
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.response import RetrieveResponse
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.retrieval.timing import Clock
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.backend import BRIEF_ROWS, ServeBackend, is_brief
from r4t_ray.serve.lookups import ask
from r4t_ray.serve.shard import search_packed

from ..conftest import settled

ARGS = AppArgs(num_steps=3, deadline_s=0.3)


def handle(**methods: Callable[..., Any]) -> Any:
    """A stand-in for a DeploymentHandle, as its caller sees it."""

    def remote(method: Callable[..., Any]) -> SimpleNamespace:
        async def call(*args: Any) -> Any:
            await asyncio.sleep(0)
            return method(*args)

        return SimpleNamespace(remote=call)

    return SimpleNamespace(**{name: remote(method) for name, method in methods.items()})


@pytest.fixture(scope="module")
def directions(tiny_workspace: Workspace) -> DirectionGenerator:
    return DirectionGenerator.load(tiny_workspace, ARGS)


@pytest.mark.parametrize(("place", "num_new_entries"), [("tiny_workspace", [0, 0]), ("grown_workspace", [1, 2])])
@pytest.mark.parametrize("shards_per_task", [0, 2])
def test_both_topologies_answer_as_the_local_path(
    request: pytest.FixtureRequest,
    directions: DirectionGenerator,
    shards_per_task: int,
    place: str,
    num_new_entries: list[int],
) -> None:
    workspace: Workspace = request.getfixturevalue(place)
    deployed, rows = deployed_shards(workspace, shards_per_task)
    live = LiveTasks(workspace, *open_tasks(workspace, ARGS, with_index=not shards_per_task))
    generator = handle(generate=lambda request, _: directions([request])[0])
    args = ARGS.model_copy(update={"deadline_s": 60.0})
    served = ServeBackend(args, versions=one(workspace, live, rows), generator=generator, deployed=deployed)
    local = Retriever(workspace.root, ARGS)
    for task, pool, added in zip(("oar", "wscr"), (48, 18), num_new_entries, strict=True):
        for n in (5, 60):
            asked = parse_request(query="a light lunch", k=3, n=n, seed=2, task=task)
            answer = asyncio.run(served.retrieve(asked))
            assert settled(answer) == settled(local.answer(asked))
            assert sizes_of(answer) == ([min(n, pool + added)] * 3 if task == "oar" else min(3 * n, pool + added))
            avoided = {direction.items[0].id for direction in answer.directions}
            without = asked.model_copy(update={"avoid": tuple(avoided), "strength": 0.0})
            answer = asyncio.run(served.retrieve(without))
            assert settled(answer) == settled(local.answer(without))
            left = pool + added - len(avoided)
            assert sizes_of(answer) == ([min(n, left)] * 3 if task == "oar" else min(3 * n, left))
            assert not avoided & {item.id for item in answer.items}
        wanted = {"any": {"range": ["rank", {"gte": 8}]}}
        filtered = parse_request(query="a light lunch", k=3, n=60, task=task, filter=wanted)
        answer = asyncio.run(served.retrieve(filtered))
        assert settled(answer) == settled(local.answer(filtered))
        assert len(answer.items) == (48 if task == "oar" else 10)
        assert (answer.model.num_steps, answer.model.num_new_entries) == (3, added)
        brought = find_new_entries(workspace)
        assert answer.model.new_entries == (brought.manifest.fingerprint[:12] if brought else None)


@pytest.mark.parametrize("shards_per_task", [0, 2])
def test_both_topologies_have_the_live_changes(
    grown_workspace: Workspace, tmp_path: Path, directions: DirectionGenerator, shards_per_task: int
) -> None:
    shutil.copytree(grown_workspace.root, tmp_path / "workspace")
    workspace = Workspace(tmp_path / "workspace")
    deployed, rows = deployed_shards(workspace, shards_per_task)
    live = LiveTasks(workspace, *open_tasks(workspace, ARGS, with_index=not shards_per_task))
    generator = handle(generate=lambda request, _: directions([request])[0])
    args = ARGS.model_copy(update={"deadline_s": 60.0})
    served = ServeBackend(args, versions=one(workspace, live, rows), generator=generator, deployed=deployed)
    emb_MD = directions.encoder.encode(["a light lunch", "quince jelly"], "document")
    upsert = {"ids": ("i-lunch", "i-lentil"), "texts": ("a light lunch", "jelly"), "filters": ('{"rank": 8}', "{}")}
    # The items that were there before, of r4t add and of the index, are replaced and deleted.
    changes = [
        Change(sequence=1, pool="items", emb_MD=emb_MD, **upsert),
        Change(sequence=2, pool="items", ids=("i-quince jelly", "i-salt", "i-tomato")),
        Change(sequence=3, pool="sets", ids=("s-lunch",), texts=("lunch",), filters=(("i-lunch",),), emb_MD=emb_MD[:1]),
        Change(sequence=4, pool="sets", ids=("s-quince-tart", "s-lentil-soup", "s-bean-bake")),
    ]
    log = ChangeLog(workspace, LogReader(workspace))
    for change in changes:
        log.append(change)
    log.close()
    local = Retriever(workspace.root, ARGS)
    gone = {"i-quince jelly", "i-salt", "i-tomato", "s-quince-tart", "s-lentil-soup", "s-bean-bake"}
    for task, size, newest in (("oar", 47, "s-lunch"), ("wscr", 18, "i-lunch")):
        for fields in ({}, {"filter": {"range": ["rank", {"gte": 8}]}}, {"avoid": [newest]}, {"method": "none"}):
            asked = parse_request(query="a light lunch", k=3, n=60, seed=2, task=task, **fields)
            answer = asyncio.run(served.retrieve(asked))
            assert settled(answer) == settled(local.answer(asked))
            found = {item.id: item for item in answer.items}
            assert not found.keys() & gone
            assert answer.sequence == 4
            assert (newest in found) == ("avoid" not in fields)
            if fields.keys() <= {"method"}:
                assert len(found) == size
                assert "i-lentil" not in found or found["i-lentil"].text == "jelly"


def one(workspace: Workspace, live: LiveTasks, rows: Any) -> Versions:
    """Versions of which there is one."""
    return Versions(workspace, lambda opened: Version(root=str(opened.root), live=live, rows=rows))


def shard_handle(shard: Shard) -> Any:
    return handle(
        search=lambda search, allowed, _: search_packed(shard, search, allowed),
        vectors=lambda rows, _: shard.vectors(rows),
    )


def deployed_shards(workspace: Workspace, per_index: int) -> tuple[dict[Any, list[Any]], dict[Any, Any]]:
    """Handles of the first shards of each index, and the pool rows of each."""
    deployed, rows = {}, {}
    for name in ("oar", "wscr", "decoder"):
        shards = [load_shard(folder_of_index(workspace, name), number) for number in range(per_index)]  # type: ignore[arg-type]
        deployed[name] = [shard_handle(shard) for shard in shards]
        rows[name] = shard_rows(workspace, name)[:per_index]  # type: ignore[arg-type]
    return deployed, rows


def sizes_of(answer: RetrieveResponse) -> list[int] | int:
    """Items of each direction; for wscr, whose directions share no item, their sum."""
    sizes = [len(direction.items) for direction in answer.directions]
    return sizes if answer.task == "oar" else sum(sizes)


def backend_of(workspace: Workspace, generator: Any, deployed: dict[Any, list[Any]]) -> ServeBackend:
    live = LiveTasks(workspace, *open_tasks(workspace, ARGS, with_index=False))
    return ServeBackend(ARGS, versions=one(workspace, live, {}), generator=generator, deployed=deployed)


def test_a_request_past_the_deadline_is_a_timeout(tiny_workspace: Workspace) -> None:
    async def stall(*_: Any) -> None:
        await asyncio.sleep(30)

    stalled = SimpleNamespace(generate=SimpleNamespace(remote=stall))
    backend = backend_of(tiny_workspace, stalled, {})
    with pytest.raises(TimeoutError):
        asyncio.run(backend.retrieve(parse_request(query="dinner", k=1)))


def test_ready_only_when_every_deployment_is(tiny_workspace: Workspace) -> None:
    def down() -> None:
        raise ConnectionError("shard 1")

    up, broken = handle(ready=lambda: True), handle(ready=down)
    asyncio.run(backend_of(tiny_workspace, up, {"oar": [up, up]}).check_ready())
    with pytest.raises(ConnectionError):
        asyncio.run(backend_of(tiny_workspace, up, {"oar": [up, broken]}).check_ready())


def test_a_task_that_was_not_trained_is_refused(tiny_workspace: Workspace) -> None:
    backend = backend_of(tiny_workspace, handle(), {})
    live = backend._versions.current.live
    live.served = replace(live.served, tasks={"oar": live.served.tasks["oar"]})
    with pytest.raises(RequestError, match="one of oar"):
        asyncio.run(backend.retrieve(parse_request(query="dinner", k=1, task="wscr")))


@pytest.mark.parametrize(("fault", "task"), [("down", "oar"), ("down", "wscr"), ("slow", "oar")])
def test_a_partial_answer_has_the_other_shards(
    tiny_workspace: Workspace, directions: DirectionGenerator, fault: str, task: str
) -> None:
    async def stall(*_: Any) -> None:
        if fault == "down":
            raise RayActorError
        await asyncio.sleep(30)

    deployed, rows = deployed_shards(tiny_workspace, 2)
    for handles in deployed.values():
        handles[1] = SimpleNamespace(search=SimpleNamespace(remote=stall), vectors=SimpleNamespace(remote=stall))
    live = LiveTasks(tiny_workspace, *open_tasks(tiny_workspace, ARGS, with_index=False))
    generator = handle(generate=lambda request, _: directions([request])[0])
    args = ARGS.model_copy(update={"deadline_s": 60.0 if fault == "down" else 4.0})
    served = ServeBackend(args, versions=one(tiny_workspace, live, rows), generator=generator, deployed=deployed)
    asked = parse_request(query="a light lunch", k=3, n=60, task=task, allow_partial=True)
    answer = asyncio.run(served.retrieve(asked))
    assert (answer.partial, answer.shards.ok, answer.shards.total) == (True, *((1, 2) if task == "oar" else (2, 4)))
    first = {live.served.tasks[task].pool.ids[row] for row in range(*rows[task][0])}  # type: ignore[index]
    assert {item.id for item in answer.items} == first
    if fault == "down":
        with pytest.raises(RayActorError):
            asyncio.run(served.retrieve(asked.model_copy(update={"allow_partial": False})))


def dying(method: Any, deaths: int, waits_s: float = 0.0) -> Any:
    """A method of a handle. The first replicas that it asks die; the next one answers after ``waits_s``."""
    calls: list[float] = []

    async def remote(*args: Any) -> Any:
        calls.append(0.0)
        if len(calls) <= deaths:
            raise RayActorError
        await asyncio.sleep(waits_s)
        return await method.remote(*args)

    return SimpleNamespace(remote=remote, calls=calls)


@pytest.mark.parametrize("allow_partial", [False, True])
def test_a_read_whose_replica_dies_is_asked_once_more(
    tiny_workspace: Workspace, directions: DirectionGenerator, allow_partial: bool
) -> None:
    deployed, rows = deployed_shards(tiny_workspace, 2)
    for handles in deployed.values():
        names = {name: dying(getattr(handles[1], name), 1) for name in ("search", "vectors")}
        handles[1] = SimpleNamespace(**names)
    living = handle(
        generate=lambda request, _: directions([request])[0], generate_all=lambda requests, _: directions(requests)
    )
    args = ARGS.model_copy(update={"deadline_s": 60.0})
    live = LiveTasks(tiny_workspace, *open_tasks(tiny_workspace, ARGS, with_index=False))
    versions = one(tiny_workspace, live, rows)
    asked = parse_request(query="a light lunch", k=3, n=60, task="wscr", allow_partial=allow_partial)

    def backend(deaths: int) -> ServeBackend:
        names = {name: dying(getattr(living, name), deaths) for name in ("generate", "generate_all")}
        return ServeBackend(args, versions=versions, generator=SimpleNamespace(**names), deployed=deployed)

    answer = asyncio.run(backend(1).retrieve(asked))
    assert settled(answer) == settled(Retriever(tiny_workspace.root, ARGS).answer(asked))
    assert not answer.partial
    many = asyncio.run(backend(1).retrieve_all({0: asked}, "batch"))
    assert [item.id for item in many[0].items] == [item.id for item in answer.items]  # type: ignore[union-attr]
    with pytest.raises(RayActorError):
        asyncio.run(backend(2).retrieve(asked))


def test_a_second_replica_gets_half_of_the_time_left() -> None:
    slow = dying(handle(read=lambda: "read").read, 1, waits_s=30.0)
    with pytest.raises(RayActorError):
        asyncio.run(asyncio.wait_for(ask(slow, clock=Clock(0.1)), 5.0))
    assert len(slow.calls) == 2
    assert asyncio.run(ask(dying(handle(read=lambda: "read").read, 1), clock=Clock(None))) == "read"


def test_a_request_may_have_a_shorter_deadline(tiny_workspace: Workspace) -> None:
    async def stall(*_: Any) -> None:
        await asyncio.sleep(30)

    backend = backend_of(tiny_workspace, SimpleNamespace(generate=SimpleNamespace(remote=stall)), {})
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(backend.retrieve(parse_request(query="dinner", k=1, timeout_ms=20)), 0.25))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, True),
        ({"k": 3, "n": 60}, False),
        ({"total": 128}, True),
        ({"total": 10, "offset": 0}, False),  # pages are cut from a thousand items
        ({"filter": {"exists": "rank"}}, False),
        ({"avoid": ["soup"]}, False),
        ({"min_relevance": 5.0}, False),
        ({"max_per": {"attribute": "rank", "n": 1}}, False),
        ({"dedupe": True}, False),
    ],
)
def test_only_what_takes_long_goes_to_a_worker(
    tiny_workspace: Workspace, fields: dict[str, Any], expected: bool
) -> None:
    opened = open_tasks(tiny_workspace, ARGS, with_index=False)[0]["oar"]
    assert is_brief(parse_request(query="a light lunch", **fields), opened) == expected
    large = replace(
        opened, pool=Pool(ids=[str(row) for row in range(BRIEF_ROWS + 1)], texts=["soup"] * (BRIEF_ROWS + 1))
    )
    assert not is_brief(parse_request(query="a light lunch", **fields), large)


def test_a_slow_language_model_delays_no_other_request_of_a_batch(
    tiny_workspace: Workspace, directions: DirectionGenerator
) -> None:
    async def stall(*_: Any) -> None:
        await asyncio.sleep(30)

    live = LiveTasks(tiny_workspace, *open_tasks(tiny_workspace, ARGS, with_index=True))
    backend = ServeBackend(
        ARGS.model_copy(update={"deadline_s": 1.5}),
        versions=one(tiny_workspace, live, {}),
        generator=handle(generate_all=lambda requests, _: directions(requests)),
        deployed={"oar": [], "wscr": [], "decoder": []},
        language_model=SimpleNamespace(write=SimpleNamespace(remote=stall)),  # type: ignore[arg-type]
    )
    slow, plain = (parse_request(query="a light lunch", k=3, method=method) for method in ("folm", "diffusion"))
    outcomes = asyncio.run(backend.retrieve_all({0: slow, 1: plain}, "batch"))
    assert isinstance(outcomes[0], TimeoutError)
    assert settled(outcomes[1]) == settled(Retriever(tiny_workspace.root, ARGS).answer(plain))
