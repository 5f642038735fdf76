"""Live changes over the pools: after random upserts and deletions, every search is that of the final entries."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.decoder import new_item_vectors
from r4t_ray.index import fetch_vectors, search_shards
from r4t_ray.live import Change
from r4t_ray.live.log import ChangeLog, LogReader, log_path
from r4t_ray.retrieval.generation import allowed_rows
from r4t_ray.retrieval.live import LiveTasks
from r4t_ray.retrieval.live.tasks import live_labels
from r4t_ray.retrieval.loading import open_tasks
from r4t_ray.retrieval.open_task import Labels, OpenTask, Pool
from r4t_ray.retrieval.picking import run
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.settings import RetrievalSettings
from r4t_ray.types import Array, Search

from ..conftest import DIM, build_retrievers
from ..live.conftest import dishes, workspace  # noqa: F401 - fixtures

RANDOM = np.random.default_rng(5)


@dataclass
class Expected:
    """The entries as dictionaries: id -> text, what filters read, and the vector of each index."""

    texts: dict[str, dict[str, str]]
    filters: dict[str, dict[str, Any]]
    vectors: dict[str, dict[str, Array]]
    trained: dict[str, tuple[str, Array]]
    """Text of each item of the index, and its vector in the index of the decoder."""

    def upsert(self, pool: str, name: str, text: str, filters: Any, emb_D: Array) -> None:
        self.texts[pool][name], self.filters[pool][name] = text, filters
        for index in ("wscr", "decoder") if pool == "items" else ("oar",):
            self.vectors[index][name] = self.scored(name, text, emb_D) if index == "decoder" else emb_D

    def scored(self, name: str, text: str, emb_D: Array) -> Array:
        """The vector of an item in the index of the decoder: its own numbers stay if its text does."""
        former, vector = self.trained.get(name, ("", emb_D))
        return np.concatenate([emb_D, vector[DIM:]]) if former == text else new_item_vectors(emb_D[None])[0]

    def delete(self, pool: str, name: str) -> None:
        for held in (self.texts[pool], self.filters[pool]):
            del held[name]
        for index in ("wscr", "decoder") if pool == "items" else ("oar",):
            del self.vectors[index][name]

    def members(self, name: str) -> list[dict[str, Any]]:
        """The attributes of the items that a set still has."""
        return [self.filters["items"][item] for item in self.filters["sets"][name] if item in self.filters["items"]]


def of_workspace(live: LiveTasks, workspace: Workspace) -> Expected:  # noqa: F811
    from r4t_ray.catalogue import load_items, load_sets

    vectors = {}
    for index, shards in live.served.shards.items():
        pool = live.served.tasks["wscr" if index == "decoder" else index].pool
        vectors[index] = dict(zip(pool.ids, fetch_vectors(shards, np.arange(len(pool.ids))), strict=True))
    items, sets = load_items(workspace), load_sets(workspace)
    return Expected(
        texts={"items": {one.item_id: one.text for one in items}, "sets": {one.set_id: one.title for one in sets}},
        filters={
            "items": {one.item_id: one.attributes for one in items},
            "sets": {one.set_id: list(one.item_ids) for one in sets},
        },
        vectors=vectors,
        trained={one.item_id: (one.text, vectors["decoder"][one.item_id]) for one in items},
    )


def unit(*shape: int) -> Array:
    rows = RANDOM.normal(size=shape).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), np.float32)


def random_change(sequence: int, expected: Expected) -> Change:
    """An upsert of new or known ids, or a deletion of known ones, done to ``expected`` too."""
    pool: Any = RANDOM.choice(["items", "sets"])
    known = list(expected.texts[pool])
    chosen = RANDOM.choice(known, min(len(known), int(RANDOM.integers(1, 4))), replace=False).tolist()
    if RANDOM.random() < 0.4 and len(known) > 6:
        for name in chosen:
            expected.delete(pool, name)
        return Change(sequence=sequence, pool=pool, ids=tuple(chosen))
    ids = [*chosen[1:], *(f"new-{RANDOM.integers(12)}" for _ in range(1))]
    emb_MD = unit(len(ids), DIM)
    filters: list[Any] = []
    texts: list[str] = []
    for at, name in enumerate(ids):
        attributes = {"rank": int(RANDOM.integers(20)), "roles": [str(RANDOM.choice(["main", "live"]))]}
        items = RANDOM.choice(list(expected.texts["items"]), 3, replace=False).tolist()
        filters.append(json.dumps(attributes) if pool == "items" else tuple(items))
        texts.append(expected.trained[name][0] if pool == "items" and name in expected.trained else f"text {at % 2}")
        texts[-1] += " new" * (RANDOM.random() < 0.3)
        expected.upsert(pool, name, texts[-1], attributes if pool == "items" else items, emb_MD[at])
    fields: dict[str, Any] = {"texts": tuple(texts), "filters": tuple(filters), "emb_MD": emb_MD}
    return Change(sequence=sequence, pool=pool, ids=tuple(ids), **fields)


def found(opened: OpenTask, shards: Any, search: Search) -> list[dict[str, float]]:
    scores_LK, rows_LK = search_shards(shards, search)
    return [
        {opened.pool.ids[row]: score for row, score in zip(rows.tolist(), scores.tolist(), strict=True) if row >= 0}
        for rows, scores in zip(rows_LK, scores_LK, strict=True)
    ]


def nearest(vectors: Mapping[str, Array], z_LD: Array, num: int) -> list[dict[str, float]]:
    scored = [{name: float(np.einsum("d,d->", vector, z_D)) for name, vector in vectors.items()} for z_D in z_LD]
    return [dict(sorted(scores.items(), key=lambda one: -one[1])[:num]) for scores in scored]


HAS_RANK = {"range": ["rank", {"gte": 5, "lt": 12}]}
IS_LIVE = {"eq": ["roles", "live"]}


def check(live: LiveTasks, expected: Expected) -> None:
    served = live.served
    for task, opened in served.tasks.items():
        pool = "items" if task == "wscr" else "sets"
        assert opened.pool.row_of.keys() == expected.texts[pool].keys()
        assert opened.size == len(expected.texts[pool])
        texts = {name: opened.pool.texts[row] for name, row in opened.pool.row_of.items()}
        assert texts == expected.texts[pool]
        alive = [*range(len(opened.pool.ids))] if opened.alive_M is None else np.flatnonzero(opened.alive_M).tolist()
        assert sorted(opened.pool.row_of.values()) == alive
        check_filters(opened, expected)
        check_relevance(opened, served.shards[task], expected.vectors[task])
    for index, shards in served.shards.items():
        opened = served.tasks["wscr" if index == "decoder" else index]
        vectors = expected.vectors[index]
        z_LD = unit(3, len(next(iter(vectors.values()))))
        for num in (1, 5, 200):
            got = found(opened, shards, Search(z_LD=z_LD, num_hits=num, where=opened.alive_M))
            for own, wanted in zip(got, nearest(vectors, z_LD, num), strict=True):
                assert list(own) == list(wanted)
                assert list(own.values()) == pytest.approx(list(wanted.values()), abs=1e-6)


def check_relevance(opened: OpenTask, shards: Any, vectors: Mapping[str, Array]) -> None:
    z_q_D = unit(DIM)
    searching = allowed_rows(parse_request(query="-", min_relevance=60), opened, z_q_D)
    allowed_M = run(searching, lambda _, search: search_shards(shards, search))
    assert allowed_M is not None
    (wanted,) = nearest(vectors, z_q_D[None], len(vectors) - int(0.6 * len(vectors)))
    assert {opened.pool.ids[row] for row in np.flatnonzero(allowed_M)} == wanted.keys()


def check_filters(opened: OpenTask, expected: Expected) -> None:
    attributes = opened.attributes
    assert attributes is not None
    for wanted in ({"any": HAS_RANK}, HAS_RANK, {"not": IS_LIVE}, {"or": [IS_LIVE, HAS_RANK]}):
        request = parse_request(query="-", filter=wanted)
        allowed_M = run(allowed_rows(request, opened, unit(DIM)), lambda *_: None)
        assert allowed_M is not None
        names = {opened.pool.ids[row] for row in np.flatnonzero(allowed_M)}
        if opened.task == "wscr":
            assert names == {name for name, own in expected.filters["items"].items() if passes(wanted, own)}
        else:
            one = "any" in wanted
            sets = {name: [passes(wanted, own) for own in expected.members(name)] for name in expected.filters["sets"]}
            assert names == {name for name, own in sets.items() if own and (any(own) if one else all(own))}
    for name, row in opened.pool.row_of.items():
        payload = attributes.payload(row)
        if opened.task == "wscr":
            assert payload == expected.filters["items"][name]
        else:
            assert [one["attributes"] for one in payload["items"]] == expected.members(name)
    if opened.task == "wscr":
        roles = attributes.values_of("roles")
        for name, row in opened.pool.row_of.items():
            same_M = roles.rows_with(roles.of(row))
            same = {other for other, at in opened.pool.row_of.items() if same_M[at]}
            own = set(expected.filters["items"][name]["roles"])
            assert same == {other for other, one in expected.filters["items"].items() if own & set(one["roles"])}


def passes(wanted: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    (form, inside), *_ = wanted.items()
    if form == "range":
        return 5 <= own.get("rank", -1) < 12
    if form == "eq":
        return "live" in own.get("roles", ())
    if form == "or":
        return any(passes(one, own) for one in inside)
    return passes(inside, own) if form == "any" else not passes(inside, own)


def test_searches_after_changes_are_those_of_the_final_entries(workspace: Workspace) -> None:  # noqa: F811
    build_retrievers(workspace)
    opened = open_tasks(workspace, RetrievalSettings(), with_index=True)
    live = LiveTasks(workspace, *opened)
    expected = of_workspace(live, workspace)
    log = ChangeLog(workspace, LogReader(workspace))
    assert live.is_current() is False  # the log was made
    check(live, expected)
    for sequence in range(1, 41):
        before = live.served
        log.append(random_change(sequence, expected))
        assert not live.is_current()
        assert live.served is before
        assert live.update() is live.served
        assert live.is_current()
        assert {opened.sequence for opened in live.served.tasks.values()} == {sequence}
        check(live, expected)
    log.close()
    check(LiveTasks(workspace, *opened), expected)


def test_a_label_that_only_entries_have_that_are_gone_is_not_used() -> None:
    pool = Pool(ids=["a", "b", "c", "d"], texts=["soup", "soup", "stew", "pie"]).changed(["d"], ["tart"], ["a", "c"])
    alive_M = np.array([False, True, False, False, True])
    labels = Labels(texts=["soup", "stew", "a warm meal", "pie", "tart"], emb_ND=np.eye(5, dtype=np.float32))
    kept = live_labels(labels, pool, alive_M)
    assert kept is not None
    assert (kept.texts, kept.emb_ND.argmax(axis=1).tolist()) == (["soup", "a warm meal", "tart"], [0, 2, 4])
    assert live_labels(Labels(texts=["stew"], emb_ND=labels.emb_ND[:1]), pool, alive_M) is None


def test_a_log_that_breaks_leaves_the_state_before(workspace: Workspace, caplog: pytest.LogCaptureFixture) -> None:  # noqa: F811
    build_retrievers(workspace)
    live = LiveTasks(workspace, *open_tasks(workspace, RetrievalSettings(), with_index=False))
    log = ChangeLog(workspace, LogReader(workspace))
    log.append(Change(sequence=1, pool="items", ids=("i-salt",)))
    served = live.update()
    assert "i-salt" not in served.tasks["wscr"].pool.row_of
    whole = log_path(workspace).read_bytes()
    log_path(workspace).write_bytes(whole + b'{"change": "delete"}\n')
    assert live.update() is served
    assert "no line of a log" in caplog.text
    assert live.is_current()
    log_path(workspace).write_bytes(whole)
    log.append(Change(sequence=2, pool="sets", ids=("s-lentil-soup",)))
    log.close()
    assert "s-lentil-soup" not in live.update().tasks["oar"].pool.row_of
