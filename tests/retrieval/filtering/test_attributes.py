"""What passes a filter: cases by hand, and any filter against an evaluator in plain Python."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from r4t_ray.retrieval.filtering.attributes import MOST_FILTERS
from r4t_ray.retrieval.filtering.filters import Filter

from .attribute_pools import collections_of, items_of

ITEMS: list[dict[str, Any]] = [
    {"price": 3, "tags": ["red", "blue"], "sold": True, "date": "2026-01-02"},
    {"price": 3.5, "tags": ["green"], "sold": False, "date": "2025-12-31"},
    {"price": "3", "tags": [], "note": {"a": 1}},
    {"price": None, "tags": "red"},
    {"price": [1, 9], "sold": 1},
    {},
]


def passing(wanted: dict[str, Any]) -> list[int]:
    return np.flatnonzero(items_of(ITEMS).passing(Filter.model_validate(wanted))).tolist()


@pytest.mark.parametrize(
    ("wanted", "items"),
    [
        ({"eq": ["price", 3]}, [0]),
        ({"eq": ["price", 3.0]}, [0]),
        ({"eq": ["price", "3"]}, [2]),
        ({"eq": ["sold", True]}, [0]),
        ({"eq": ["sold", 1]}, [4]),
        ({"eq": ["tags", "red"]}, [0, 3]),
        ({"in": ["tags", ["green", "blue"]]}, [0, 1]),
        ({"in": ["price", [3, "3", 7]]}, [0, 2]),
        ({"in": ["price", []]}, []),
        ({"range": ["price", {"gt": 3}]}, [1, 4]),
        ({"range": ["price", {"gte": 3, "lt": 9}]}, [0, 1]),
        ({"range": ["price", {"gte": 3, "gt": 2, "lte": 3.5, "lt": 3.5}]}, [0]),
        ({"range": ["price", {"lt": "4"}]}, [2]),
        ({"range": ["date", {"gte": "2026-01-01"}]}, [0]),
        ({"exists": "price"}, [0, 1, 2, 4]),
        ({"exists": "tags"}, [0, 1, 3]),
        ({"exists": "note"}, [2]),
        ({"eq": ["note", True]}, []),
        ({"not": {"eq": ["price", 3]}}, [1, 2, 3, 4, 5]),
        ({"not": {"exists": "price"}}, [3, 5]),
        ({"and": [{"exists": "price"}, {"not": {"exists": "tags"}}]}, [2, 4]),
        ({"or": [{"eq": ["price", "3"]}, {"any": {"eq": ["sold", False]}}]}, [1, 2]),
    ],
)
def test_items_that_pass(wanted: dict[str, Any], items: list[int]) -> None:
    assert passing(wanted) == items


def test_integers_beyond_a_float_only_exist() -> None:
    pool = items_of([{"a": 10**400}, {"a": 2**60}])
    assert pool.passing(Filter.model_validate({"in": ["a", [2**60, 2**70]]})).tolist() == [False, True]
    assert pool.passing(Filter.model_validate({"exists": "a"})).tolist() == [True, True]
    assert pool.passing(Filter.model_validate({"range": ["a", {"gt": 0}]})).tolist() == [False, True]


RED, BLUE = {"eq": ["tags", "red"]}, {"eq": ["tags", "blue"]}


@pytest.mark.parametrize(
    ("wanted", "collections"),
    [
        (RED, [1]),
        ({"any": RED}, [0, 1, 2]),
        ({"not": RED}, [3]),
        ({"not": {"any": RED}}, [3, 4]),
        ({"or": [RED, BLUE]}, [0, 1]),  # each item is red or blue
        ({"or": [RED, BLUE, {"any": {"eq": ["tags", "no"]}}]}, [1]),  # all are red, or all are blue
        ({"and": [{"any": RED}, {"any": BLUE}]}, [0, 2]),
        ({"any": {"and": [RED, BLUE]}}, [2]),
        ({"and": [{"any": RED}, {"not": {"any": {"eq": ["tags", "green"]}}}]}, [0, 1]),
    ],
)
def test_a_collection_passes_when_all_its_items_do(wanted: dict[str, Any], collections: list[int]) -> None:
    tags = [["red"], ["blue"], ["green"], ["red", "blue"]]
    pool = collections_of([{"tags": each} for each in tags], [[0, 1], [0, 0], [3, 2], [2], []])
    assert np.flatnonzero(pool.passing(Filter.model_validate(wanted))).tolist() == collections


def test_the_payload_of_an_item_and_of_a_collection() -> None:
    assert items_of(ITEMS).payload(1) == ITEMS[1]
    assert collections_of(ITEMS, [[5], [2, 0]]).payload(1) == {
        "items": [{"id": "i2", "attributes": ITEMS[2]}, {"id": "i0", "attributes": ITEMS[0]}]
    }


VALUES = st.sampled_from([0, 1, 1.5, -2, "", "1", "a", "é", True, False])
NAMES = st.sampled_from(["x", "y"])
ATTRIBUTES = st.dictionaries(NAMES, VALUES | st.none() | st.lists(VALUES | st.none(), max_size=3) | st.just({"z": 1}))
NUMBERS, TEXTS = st.sampled_from([-2, 0, 1, 1.5]), st.sampled_from(["", "1", "a", "é"])
BOUNDS = st.one_of(
    *(st.dictionaries(st.sampled_from(["gte", "gt", "lte", "lt"]), each, min_size=1) for each in (NUMBERS, TEXTS))
)
LEAVES = st.one_of(
    st.fixed_dictionaries({"eq": st.tuples(NAMES, VALUES)}),
    st.fixed_dictionaries({"in": st.tuples(NAMES, st.lists(VALUES, max_size=3))}),
    st.fixed_dictionaries({"range": st.tuples(NAMES, BOUNDS)}),
    st.fixed_dictionaries({"exists": NAMES}),
)


def several(inside: Any) -> Any:
    return st.one_of(
        st.fixed_dictionaries({"and": st.lists(inside, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"or": st.lists(inside, min_size=1, max_size=3)}),
        st.fixed_dictionaries({"not": inside}),
        st.fixed_dictionaries({"any": inside}),
    )


FILTERS = st.recursive(LEAVES, several, max_leaves=6)
MEMBERS = st.lists(st.lists(st.integers(0, 4), max_size=3), min_size=1, max_size=5)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def same(left: Any, right: Any) -> bool:
    return left == right and (type(left) is type(right) or (is_number(left) and is_number(right)))


def lies_within(value: Any, bounds: dict[str, Any]) -> bool:
    def holds(name: str, bound: Any) -> bool:
        if not (is_number(value) and is_number(bound)) and not (isinstance(value, str) and isinstance(bound, str)):
            return False
        return {"gte": value >= bound, "gt": value > bound, "lte": value <= bound, "lt": value < bound}[name]

    return all(holds(name, bound) for name, bound in bounds.items())


def item_passes(wanted: dict[str, Any], item: dict[str, Any]) -> bool:
    ((form, content),) = wanted.items()
    if form in ("and", "or"):
        return {"and": all, "or": any}[form](item_passes(part, item) for part in content)
    if form in ("not", "any"):
        return item_passes(content, item) != (form == "not")
    name = content if form == "exists" else content[0]
    raw = item.get(name)
    values = [value for value in (raw if isinstance(raw, list) else [raw]) if value is not None]
    if form == "exists":
        return bool(values)
    if form == "range":
        return any(lies_within(value, content[1]) for value in values)
    return any(same(value, asked) for value in values for asked in (content[1] if form == "in" else [content[1]]))


def has_any(wanted: dict[str, Any]) -> bool:
    ((form, content),) = wanted.items()
    inside = content if form in ("and", "or") else [content] if form == "not" else []
    return form == "any" or any(has_any(part) for part in inside)


def collection_passes(wanted: dict[str, Any], items: Sequence[dict[str, Any]]) -> bool:
    ((form, content),) = wanted.items()
    if form == "any":
        return any(item_passes(content, item) for item in items)
    if not has_any(wanted):
        return bool(items) and all(item_passes(wanted, item) for item in items)
    if form == "not":
        return not collection_passes(content, items)
    return {"and": all, "or": any}[form](collection_passes(part, items) for part in content)


@settings(max_examples=30, deadline=None)
@given(st.lists(ATTRIBUTES, min_size=1, max_size=5), FILTERS, MEMBERS)
def test_any_filter_agrees_with_plain_python(
    items: list[dict[str, Any]], wanted: dict[str, Any], members: list[list[int]]
) -> None:
    members = [[number % len(items) for number in each] for each in members]
    parsed = Filter.model_validate(wanted)
    assert items_of(items).passing(parsed).tolist() == [item_passes(wanted, item) for item in items]
    assert collections_of(items, members).passing(parsed).tolist() == [
        collection_passes(wanted, [items[number] for number in each]) for each in members
    ]


def test_a_pool_knows_its_last_filters() -> None:
    pool = items_of(ITEMS)
    one, true = (Filter.model_validate({"eq": ["sold", value]}) for value in (1, True))
    assert one == true
    assert (np.flatnonzero(pool.passing(one)).tolist(), np.flatnonzero(pool.passing(true)).tolist()) == ([4], [0])
    assert pool.passing(one) is pool.passing(one)
    with pytest.raises(ValueError, match="read-only"):
        pool.passing(one)[0] = True
    others = [Filter.model_validate({"eq": ["price", price]}) for price in range(MOST_FILTERS)]
    masks = [pool.passing(other) for other in others]
    assert [mask.sum() for mask in masks[:4]] == [0, 1, 0, 1]
    assert all(pool.passing(other) is mask for other, mask in zip(others, masks, strict=True))
    known = pool.passing(others[0])
    pool.passing(one)
    assert pool.passing(others[1]) is masks[1]
    assert pool.passing(others[0]) is not known
