"""Fields that change which items an answer has, over a small pool in this process, with numbers computed by hand."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from r4t_ray.errors import DeadlineError, RequestError
from r4t_ray.index import flat_shard
from r4t_ray.retrieval import open_task
from r4t_ray.retrieval.backend import InProcess, moved_texts
from r4t_ray.retrieval.generation import Generated, GenerationRequest, generation_request
from r4t_ray.retrieval.open_task import OpenTask, Pool, normalised, with_other_pools
from r4t_ray.retrieval.request import QUERY_FIELDS, fields_of, parse_request
from r4t_ray.retrieval.response import ModelInfo, RetrieveResponse
from r4t_ray.retrieval.retriever import retrieve
from r4t_ray.types import Array

from .filtering.attribute_pools import collections_of

MODEL = ModelInfo(encoder="e", index="i", diffusion="d", num_rows=4, solver="heun", num_steps=8, guidance=0.1)


def unit(*rows: tuple[float, ...]) -> Array:
    emb = np.array(rows, np.float32)
    return np.asarray(emb / np.linalg.norm(emb, axis=1, keepdims=True), np.float32)


# The query is the first axis. Items 0 to 3 move away from it, and 4 lies on the second axis.
ITEMS_MD = unit((1, 0, 0.1), (1, 0.5, 0), (1, 1, 0), (1, 2, 0), (0, 1, 0), (0, 0.1, 1))
TEXTS = ["Red  Shirt", "blue shirt", "RED shirt", "a skirt", "a scarf", "a belt"]
QUERY_D = np.array([1, 0, 0], np.float32)
Z_LD = unit((0, 1, 0), (0, 0, 1))
COSINES_M = ITEMS_MD @ QUERY_D


class Fixed(InProcess):
    """Makes the same two directions for every request, and keeps what it was asked."""

    def generate(self, request: GenerationRequest) -> Generated:
        z_q_D = QUERY_D if request.z_q_D is None else request.z_q_D
        self.asked.append(request)  # type: ignore[attr-defined]
        return Generated(z_q_D, Z_LD if request.k else Z_LD[:0])


def backend_of(requests: list[GenerationRequest] | None = None) -> Fixed:
    backend = Fixed(generator=None, shards={"oar": (flat_shard(ITEMS_MD[:2]), flat_shard(ITEMS_MD[2:], offset=2))})  # type: ignore[arg-type]
    object.__setattr__(backend, "asked", [] if requests is None else requests)
    return backend


def asked(requests: list[GenerationRequest] | None = None, **fields: Any) -> RetrieveResponse:
    opened = OpenTask(task="oar", pool=Pool(ids=[f"i{row}" for row in range(6)], texts=TEXTS), model=MODEL)
    return retrieve(parse_request(**({"query": "shirt", "k": 2} | fields)), opened, backend_of(requests))


def ids(answer: RetrieveResponse) -> list[str]:
    return [item.id for item in answer.items]


def test_plain_search_lists_the_nearest_entries_of_the_query() -> None:
    answer = asked(method="none", total=4)
    assert ids(answer) == ["i0", "i1", "i2", "i3"]
    assert [item.score for item in answer.items] == pytest.approx(COSINES_M[:4].tolist(), abs=1e-6)
    (direction,) = answer.directions
    assert (direction.label, direction.weight) == ("shirt", pytest.approx(1.0))
    assert answer.set_metrics.alignment == pytest.approx(1.0)
    assert direction.groundedness == pytest.approx(1 - np.sqrt(2 - 2 * COSINES_M[0]), abs=1e-5)
    assert ids(asked(method="none", n=1)) == ["i0", "i1"]


def test_mmr_at_both_ends_of_lambda() -> None:
    assert ids(asked(method="mmr", mmr_lambda=1.0, total=4)) == ["i0", "i1", "i2", "i3"]
    # Novelty alone: after the first candidate, item 0, the one with the lowest cosine to it, which is item 4.
    assert ids(asked(method="mmr", mmr_lambda=0.0, total=2)) == ["i0", "i4"]
    with pytest.raises(RequestError, match=r"mmr_lambda: got 0\.5; expected none without method mmr"):
        asked(mmr_lambda=0.5)


@pytest.mark.parametrize("method", ["diffusion", "none", "mmr"])
@pytest.mark.parametrize("limits", [{}, {"dedupe": True}, {"min_relevance": 20.0}])
def test_pages_follow_each_other_and_do_not_overlap(method: str, limits: dict[str, Any]) -> None:
    whole = asked(method=method, total=6, offset=0, **limits)
    pages = [asked(method=method, total=2, offset=offset, **limits) for offset in (0, 2, 4)]
    assert [item for page in pages for item in ids(page)] == ids(whole)
    assert [item.rank for page in pages for item in page.items] == list(range(1, 1 + len(whole.items)))
    assert len(set(ids(whole))) == len(whole.items) == {"": 6, "dedupe": 5, "min_relevance": 5}["".join(limits)]


@pytest.mark.parametrize("fields", [{"offset": 0}, {"offset": 0, "n": 3}, {"offset": 999, "total": 2}])
def test_an_offset_without_one_list_or_too_deep_is_refused(fields: dict[str, int]) -> None:
    with pytest.raises(RequestError, match=r"offset: .*offset beside total, together at most 1,000"):
        asked(**fields)


@pytest.mark.parametrize(("percentile", "kept"), [(0.0, 6), (49.0, 4), (50.0, 3), (99.9, 1)])
def test_entries_below_the_percentile_of_the_query_are_left_out(percentile: float, kept: int) -> None:
    answer = asked(min_relevance=percentile, n=6)
    nearest = np.argsort(-COSINES_M, kind="stable")[:kept].tolist()
    assert sorted(ids(answer)) == sorted(f"i{row}" for row in nearest)


def test_the_query_is_one_more_direction_with_its_weight() -> None:
    plain, added = asked(n=1), asked(n=1, include_query=True)
    assert ids(plain) == ["i4", "i5"]
    assert [direction.label for direction in added.directions] == [None, None, "shirt"]
    assert [item.id for item in added.directions[2].items] == ["i0"]
    heavy = asked(total=3, include_query=True, query_weight=2.0)
    assert ids(heavy) == ["i0", "i1", "i2"]
    assert heavy.items[0].score == pytest.approx(2 * COSINES_M[0])
    assert heavy.directions[2].groundedness == added.directions[2].groundedness
    assert [item.direction for item in heavy.items] == [2, 2, 2]


def test_of_items_with_the_same_text_the_best_is_kept() -> None:
    assert ids(asked(method="none", total=4)) == ["i0", "i1", "i2", "i3"]
    assert ids(asked(method="none", total=4, dedupe=True)) == ["i0", "i1", "i3", "i4"]
    by_direction = asked(n=6, dedupe=True)
    assert ("i0" in ids(by_direction)) != ("i2" in ids(by_direction))
    assert all(len(direction.items) == 5 for direction in by_direction.directions)


def test_without_a_query_the_named_entries_are_completed_and_not_returned() -> None:
    requests: list[GenerationRequest] = []
    answer = asked(requests, query=None, like=["i0", "i4", "linen"], method="none", total=6)
    mean_D = ITEMS_MD[[0, 4]].mean(axis=0)
    assert requests[0].z_q_D == pytest.approx(mean_D / np.linalg.norm(mean_D), abs=1e-6)
    assert requests[0].texts == ["linen"]
    assert requests[0].kinds == ["document"]
    assert set(ids(answer)) == {"i1", "i2", "i3", "i5"}
    assert answer.query is None
    with pytest.raises(RequestError, match="query: got nothing, and no id of the catalogue in like"):
        asked(query=None, like=["linen"])
    with pytest.raises(RequestError, match="query: got nothing; expected a query, or ids"):
        asked(query=None)


def test_an_id_of_another_pool_steers_by_its_text_and_leaves_out_sets_that_hold_it() -> None:
    sets = OpenTask(
        task="oar",
        pool=Pool(ids=[f"s{row}" for row in range(6)], texts=TEXTS),
        model=MODEL,
        attributes=collections_of([{}, {}, {}], [[0], [0, 1], [1], [2, 1], [], [2]]),
    )
    items = Pool(ids=["i0", "i1", "i2"], texts=["basil", "salt", "nuts"])
    opened = with_other_pools({"oar": sets, "wscr": replace(sets, task="wscr", pool=items)})["oar"]
    requests: list[GenerationRequest] = []
    fields: dict[str, Any] = {"k": 2, "method": "none", "total": 6}
    request = parse_request(query="shirt", like=["i1", "linen"], avoid=["i0", "s3", "wool"], **fields)
    answer = retrieve(request, opened, backend_of(requests))
    assert (requests[0].like, requests[0].avoid) == (("salt", "linen"), ("basil", "a skirt", "wool"))
    assert set(ids(answer)) == {"s2", "s4", "s5"}
    with pytest.raises(
        RequestError, match=r"query: got nothing, and 'i1' in like is an entry of task wscr; .* to wscr"
    ):
        retrieve(parse_request(like=["linen", "i1"], **fields), opened, backend_of())


def test_a_direction_is_no_entry_that_may_not_be_found() -> None:
    ranked = OpenTask(
        task="oar",
        pool=Pool(ids=[f"s{row}" for row in range(6)], texts=TEXTS),
        model=MODEL.model_copy(update={"solver": "top_anchors"}),
        attributes=collections_of([{"a": 1}, {"a": 2}], [[0], [0, 1], [1], [0], [], [0]]),
        alive_M=np.array([True, True, True, True, True, False]),
    )

    def allowed(opened: OpenTask, **fields: Any) -> list[int] | None:
        allowed_M = generation_request(parse_request(k=2, **fields), opened).allowed_M
        return None if allowed_M is None else np.flatnonzero(allowed_M).tolist()

    # The last row was replaced by an upsert. It leads to the entry that took its place.
    assert allowed(ranked, query="shirt") is None
    assert allowed(ranked, query="shirt", avoid=["s2", "wool"], filter={"any": {"eq": ["a", 1]}}) == [0, 1, 3, 5]
    assert allowed(ranked, like=["s0", "s3"]) == [1, 2, 4, 5]
    assert allowed(ranked, query="shirt", method="none") is None
    assert allowed(replace(ranked, model=MODEL), query="shirt") is None, "its directions are no entries"


def test_a_request_past_its_deadline_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asked(timeout_ms=60_000).timings_ms["total"] > 0
    slow = Fixed.generate
    monkeypatch.setattr(Fixed, "generate", lambda self, request: (time.sleep(0.003), slow(self, request))[1])
    with pytest.raises(DeadlineError, match=r"timeout_ms: got no answer in 0.002 s"):
        asked(timeout_ms=2)


def test_the_measures_of_an_answer() -> None:
    answer = asked(n=1)
    # The first items are 4 and 5, nearly orthogonal; both directions are orthogonal to the query.
    cosine = float(ITEMS_MD[4] @ ITEMS_MD[5])
    halves = np.array([1 + cosine, 1 - cosine]) / 2
    assert answer.set_metrics.vendi == pytest.approx(np.exp(-(halves * np.log(halves)).sum()) / 2, abs=1e-5)
    assert answer.set_metrics.alignment == pytest.approx(0.0, abs=1e-6)
    each = [direction.groundedness for direction in answer.directions]
    assert answer.set_metrics.groundedness == pytest.approx(np.mean(each))
    assert each == pytest.approx([1.0, 1 - np.sqrt(2 - 2 * float(ITEMS_MD[5, 2]))], abs=1e-3)
    assert (answer.partial, answer.shards.ok) == (False, answer.shards.total)
    stages = answer.timings_ms
    assert stages["total"] == pytest.approx(sum(stages.values()) - stages["total"], abs=0.01)
    assert {"search", "wait", "rest", "total"} == set(stages)
    assert len({asked().request_id for _ in range(3)}) == 3


def test_fields_of_the_command_line() -> None:
    assert fields_of(["method=mmr", "mmr_lambda=0.3", "dedupe=true"], QUERY_FIELDS) == {
        "method": "mmr",
        "mmr_lambda": 0.3,
        "dedupe": True,
    }
    for wrong in ("dedupe", "k=3"):
        with pytest.raises(RequestError, match="NAME=VALUE, the name one of method"):
            fields_of([wrong], QUERY_FIELDS)


def test_texts_that_differ_in_case_and_spaces_are_equal() -> None:
    codes = Pool(ids=list("abcdef"), texts=TEXTS).text_codes_M.tolist()
    assert [codes.index(code) for code in codes] == [0, 1, 0, 3, 4, 5]


def test_a_changed_pool_normalises_its_new_texts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = Pool(ids=list("abcdef"), texts=TEXTS)
    assert len(pool.text_codes_M) == 6
    seen: list[str] = []
    monkeypatch.setattr(open_task, "normalised", lambda text: (seen.append(text), normalised(text))[1])
    codes = pool.changed(["g", "a"], ["a  SCARF", "new"], ["b"]).text_codes_M.tolist()
    assert seen == ["a  SCARF", "new"]
    assert [codes.index(code) for code in codes] == [0, 1, 0, 3, 4, 5, 4, 7]


def test_steering_moves_the_query_of_plain_search() -> None:
    """q = x, like = y, avoid = (x + y) / sqrt 2: at strength 0.5 the query becomes x + 0.5 (y - 0.5 (x + y))."""
    like, avoid = unit((0, 1, 0), (1, 1, 0))
    request = GenerationRequest(task="oar", query="shirt", seed=0, k=0, strength=0.5, like=("y",), avoid=("xy",))
    (moved_D,) = moved_texts(request, np.stack([QUERY_D, like, avoid]))
    assert np.allclose(moved_D, unit((0.75, 0.25, 0)), atol=1e-6)
    liked = replace(request, avoid=(), strength=4.0)
    (moved_D,) = moved_texts(liked, np.stack([QUERY_D, like]))
    moved = Generated(QUERY_D, moved_D[None])
    backend = backend_of()
    object.__setattr__(backend, "generate", lambda _: moved)
    opened = OpenTask(task="oar", pool=Pool(ids=[f"i{row}" for row in range(6)], texts=TEXTS), model=MODEL)
    answer = retrieve(parse_request(query="shirt", method="none", k=1, total=2), opened, backend)
    assert [item.id for item in answer.items] == ["i3", "i4"]
    assert answer.items[1].score == pytest.approx(4 / 17**0.5, abs=1e-6)
