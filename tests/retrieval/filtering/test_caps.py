"""At most so many items with one value: numbers by hand, and the exact greedy choice over several searches."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from r4t_ray.diffusion import SolverName
from r4t_ray.errors import RequestError
from r4t_ray.index import flat_shard
from r4t_ray.retrieval.backend import InProcess
from r4t_ray.retrieval.compose import answer
from r4t_ray.retrieval.filtering import caps
from r4t_ray.retrieval.filtering.caps import Room, TextValues
from r4t_ray.retrieval.generation import Generated, generation_request
from r4t_ray.retrieval.open_task import OpenTask, Pool
from r4t_ray.retrieval.picking import Picked, best_with_room, pick_by_cosine_with_room, run
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.response import ModelInfo, RetrieveResponse
from r4t_ray.types import Array, Hits, IndexName, Search

from .attribute_pools import items_of

KINDS = ["a", "a", "a", "b", "b", None]
POOL = items_of([{} if kind is None else {"kind": kind} for kind in KINDS])
# Two directions and six items: cosines fall from left to right for the first, and from right to left for the second.
COSINES_kM = np.array([[0.9, 0.8, 0.7, 0.6, 0.5, 0.4], [0.1, 0.2, 0.3, 0.45, 0.55, 0.65]], np.float32)


class Counted:
    """Searches a pool by its scores with every direction, and counts the searches."""

    def __init__(self, scores_kM: Array) -> None:
        self.scores_kM, self.num = scores_kM, 0

    def __call__(self, name: IndexName, search: Search) -> Hits:
        self.num += 1
        directions = search.z_LD[:, 0].astype(int)
        scores_kM = self.scores_kM[directions].copy()
        if search.where is not None:
            scores_kM[:, ~search.where] = -np.inf
        rows_kK = np.argsort(-scores_kM, axis=1, kind="stable")[:, : search.num_hits]
        scores_kK = np.take_along_axis(scores_kM, rows_kK, axis=1)
        return scores_kK, np.where(np.isfinite(scores_kK), rows_kK, -1)


def wanted(num_hits: int, directions: int = 2) -> Search:
    """A search whose directions are numbered by their only coordinate, as ``Counted`` reads them."""
    return Search(z_LD=np.arange(directions, dtype=np.float32)[:, None], num_hits=num_hits)


def rows_of(picked: Picked) -> list[list[int]]:
    return [rows.tolist() for rows, _ in picked.lists]


def test_the_best_items_of_an_answer_that_have_room() -> None:
    room = Room((POOL.values_of("kind"), 1))
    picked = run(pick_by_cosine_with_room(wanted(1), room, total=4), Counted(COSINES_kM))
    # 0.9 is an a. 0.65 has no kind. 0.6 is the first b, though 0.8 and 0.7 are higher: they are a.
    assert (picked.rows_K.tolist(), picked.owner_K.tolist()) == ([0, 5, 3], [0, 1, 0])
    assert rows_of(picked) == [[0, 3], [5]]


def test_directions_fill_up_by_the_next_items_that_have_room() -> None:
    room = Room((POOL.values_of("kind"), 2))
    picked = run(pick_by_cosine_with_room(wanted(4), room), Counted(COSINES_kM))
    # Item 2 is a third a. Items 3 and 4 are the two b.
    assert rows_of(picked) == [[0, 1, 3, 4], [5, 4, 3, 1]]
    assert picked.rows_K.tolist() == [0, 1, 5, 3, 4]


def test_an_item_of_several_values_needs_room_in_each() -> None:
    pool = items_of([{"tags": ["x", "y"]}, {"tags": ["y", "y"]}, {"tags": ["x"]}, {"tags": [1]}, {"tags": ["1"]}])
    room = Room((pool.values_of("tags"), 1))
    assert [room.take(row) for row in (0, 1, 2, 3, 4, 0)] == [True, False, False, True, True, True]
    assert room.open_rows().tolist() == [False] * 5


@pytest.mark.parametrize("num", [1, 3])
@pytest.mark.parametrize("filtered", [False, True])
def test_the_greedy_choice_over_several_searches(num: int, filtered: bool) -> None:
    """The nearest 90 items have one value, so that the first search cannot fill an answer of 12."""
    rng = np.random.default_rng(num)
    kinds = [0] * 90 + rng.integers(1, 30, 210).tolist()
    scores_kM = np.sort(rng.random((3, 300)).astype(np.float32), axis=1)[:, ::-1].copy()
    scores_kM[:, 90:] = rng.permuted(scores_kM[:, 90:], axis=1)
    where = rng.random(300) < 0.7 if filtered else np.ones(300, dtype=bool)
    expected: list[int] = []
    count: Counter[int] = Counter()
    for row in np.argsort(-np.where(where, scores_kM.max(axis=0), -1), kind="stable")[: where.sum()].tolist():
        if count[kinds[row]] < num and len(expected) < 12:
            count[kinds[row]] += 1
            expected.append(row)
    search = Counted(scores_kM)
    asked = Search(z_LD=wanted(1, 3).z_LD, num_hits=12, where=where if filtered else None)
    room = Room((items_of([{"kind": kind} for kind in kinds]).values_of("kind"), num))
    rows_K, scores_K, owner_K = run(best_with_room("decoder", asked, room), search)
    assert rows_K.tolist() == expected
    assert len(expected) == 12
    assert scores_K.tolist() == scores_kM[owner_K, rows_K].tolist()
    assert 1 < search.num <= caps.MAX_SEARCHES


def test_the_number_of_searches_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caps, "EXTRA_SHARE", 0)
    monkeypatch.setattr(caps, "GROWTH", 1)
    search = Counted(-np.arange(600, dtype=np.float32)[None])
    room = Room((items_of([{"kind": row // 20} for row in range(600)]).values_of("kind"), 1))
    rows_K, _, _ = run(best_with_room("oar", wanted(15, 1), room), search)
    assert (search.num, rows_K.tolist()) == (8, [0, 20, 40, 60, 80, 100, 120, 140])


def test_an_answer_is_full_where_every_item_has_sixty_variants() -> None:
    """200 texts with 60 variants each: the variants of a text follow each other in the ranking."""
    texts = np.repeat(np.arange(200, dtype=np.int32), 60)
    scores_kM = -np.arange(12_000, dtype=np.float32)[None]
    rows_K, _, _ = run(best_with_room("oar", wanted(20, 1), Room((TextValues(texts), 1))), Counted(scores_kM))
    assert rows_K.tolist() == list(range(0, 1_200, 60))
    both_kM = np.concatenate([scores_kM, scores_kM[:, ::-1]])
    picked = run(pick_by_cosine_with_room(wanted(20), Room((TextValues(texts), 1))), Counted(both_kM))
    assert rows_of(picked) == [list(range(0, 1_200, 60)), list(range(11_999, 10_799, -60))]


MODEL = ModelInfo(encoder="e", index="i", diffusion="d", num_rows=4, solver="heun", num_steps=8, guidance=0.1)


def opened_of(solver: SolverName = "heun") -> OpenTask:
    """A pool of items under oar, as in a catalogue without sets."""
    pool = Pool(ids=[f"i{row}" for row in range(6)], texts=[f"text {row}" for row in range(6)])
    return OpenTask(task="oar", pool=pool, model=MODEL.model_copy(update={"solver": solver}), attributes=POOL)


def answered(solver: SolverName = "heun", **fields: object) -> RetrieveResponse:
    """An answer over six items. The first four directions are items 0 to 3 and the last is item 5."""
    emb_MD = np.eye(6, dtype=np.float32)
    request, opened = parse_request(query="x", **fields), opened_of(solver)
    generation_request(request, opened)
    generated = Generated(emb_MD[0], emb_MD[[0, 1, 2, 3, 5]])
    backend = InProcess(generator=None, shards={"oar": (flat_shard(emb_MD),)})  # type: ignore[arg-type]
    return run(answer(request, opened, generated), backend.search)


def test_directions_are_chosen_by_their_nearest_item_that_passes() -> None:
    plain = answered("top_anchors", k=3, n=1)
    assert [direction.items[0].id for direction in plain.directions] == ["i0", "i1", "i2"]
    passing = answered("top_anchors", k=3, n=1, filter={"not": {"eq": ["kind", "a"]}})
    # Directions 0, 1 and 2 lead to item 3 at a cosine of 0, as does 3 itself; 4 leads to item 5.
    assert [direction.items[0].id for direction in passing.directions] == ["i3", "i5", "i3"]
    assert {item.id for item in passing.items} == {"i3", "i5"}


def test_more_directions_are_made_for_a_filter() -> None:
    request = parse_request(query="x", k=2, filter={"exists": "kind"})
    assert generation_request(request, opened_of()).k == MODEL.num_rows
    assert generation_request(request.model_copy(update={"filter": None}), opened_of()).k == 2


@pytest.mark.parametrize("options", [{"n": 2}, {"total": 3}, {"n": 2, "max_per": {"attribute": "kind", "n": 1}}])
def test_a_filter_that_nothing_passes_gives_an_empty_answer(options: dict[str, object]) -> None:
    empty = answered(k=2, filter={"eq": ["kind", "c"]}, **options)
    assert [(direction.items, direction.weight) for direction in empty.directions] == [([], 0.0)] * 2
    assert empty.items == []


def test_an_answer_has_fewer_items_where_fewer_pass() -> None:
    few = answered(k=2, n=4, filter={"eq": ["kind", "b"]})
    assert [sorted(item.id for item in direction.items) for direction in few.directions] == [["i3", "i4"]] * 2


def test_a_cap_and_a_payload_reach_the_answer() -> None:
    capped = answered(k=2, n=6, max_per={"attribute": "kind", "n": 1}, with_payload=True)
    kinds = [item.payload for item in capped.items]
    assert sorted(map(str, kinds)) == ["{'kind': 'a'}", "{'kind': 'b'}", "{}"]
    assert capped.directions[0].items[0].payload is not None
    plain = answered(k=1, n=1).model_dump_json()
    assert '"payload"' not in plain
    with pytest.raises(RequestError, match=r"filter\.eq\.0"):
        answered(k=1, filter={"eq": ["colour", "a"]})
