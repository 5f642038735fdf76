"""The form of filters and caps: what is refused, and where the error points."""

from __future__ import annotations

from typing import Any

import pytest

from r4t_ray.errors import RequestError
from r4t_ray.retrieval.filtering.attributes import PoolAttributes
from r4t_ray.retrieval.filtering.filters import MAX_DEPTH, MAX_VALUES, Filter, cap_of, check_attributes, filter_of
from r4t_ray.retrieval.request import RetrieveRequest, parse_request

from .attribute_pools import collections_of, items_of

FORMS = "and, or, not, any, eq, in, range, exists"
NAMED = items_of([{"price": 3, "tags": ["a"]}, {"brand": "x"}])


def nested(depth: int) -> dict[str, Any]:
    wanted: dict[str, Any] = {"range": ["price", {"lt": 3}]}
    for _ in range(depth - 1):
        wanted = {"not": wanted}
    return wanted


@pytest.mark.parametrize(
    ("wanted", "where", "got", "expected"),
    [
        ({}, "filter", "{}", FORMS),
        ([], "filter", "[]", FORMS),
        ({"eq": ["a", 1], "exists": "b"}, "filter", "'exists'", FORMS),
        ({"equals": ["a", 1]}, "filter", "'equals'", FORMS),
        ({"\ud800": 1}, "filter", "{", FORMS),
        ({"exists": None}, "filter", "None", FORMS),
        ({"exists": 3}, "filter.exists", "3", "string"),
        ({"and": []}, "filter.and", "[]", "at least 1"),
        ({"and": [{"exists": "a"}, {"or": [{"eq": ["a"]}]}]}, "filter.and.1.or.0.eq.1", "nothing", "required"),
        ({"not": {"any": {"eq": ["a", None]}}}, "filter.not.any.eq.1", "None", "a finite number"),
        ({"eq": ["a", {"b": 1}]}, "filter.eq.1", "{'b': 1}", "a finite number"),
        ({"eq": ["a", "\ud800"]}, "filter.eq.1", r"\ud800", "text"),
        ({"eq": ["a", 10**400]}, "filter.eq.1", "1000", "a finite number"),
        ({"in": ["a", [1, float("nan")]]}, "filter.in.1.1", "nan", "a finite number"),
        ({"in": ["a", 1]}, "filter.in.1", "1", "tuple"),
        ({"eq": ["a", 1, 2]}, "filter.eq", "[", "2 items"),
        ({"range": ["a", {}]}, "filter.range.1", "{}", "gte, gt, lte and lt"),
        ({"range": ["a", {"gte": 1, "lt": "2"}]}, "filter.range.1", "gte", "all of them texts"),
        ({"range": ["a", {"lt": True}]}, "filter.range.1", "lt", "numbers"),
        ({"range": ["a", {"below": 1}]}, "filter.range.1.below", "1", "one of gte, gt, lte, lt"),
        (nested(MAX_DEPTH + 1), "filter", "{'not'", "at most 8 filters inside each other"),
        ({"in": ["a", [1] * 300]}, "filter", "{'in'", "at most 256 values, and this filter has 300"),
        ({"or": [{"exists": "a"}] * 257}, "filter", "{'or'", "this filter has 257"),
    ],
)
def test_a_fault_of_a_filter_is_named_by_its_place(wanted: Any, where: str, got: str, expected: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_request(query="x", filter=wanted)
    assert caught.value.where == where
    assert got in caught.value.got
    assert expected in caught.value.expected
    assert len(str(caught.value)) < 600


def test_a_filter_at_the_limits_passes_and_survives_json() -> None:
    for wanted in (
        nested(MAX_DEPTH),
        {"in": ["a", ["x"] * MAX_VALUES]},
        {"and": [{"range": ["a", {"gte": 1, "lt": 2.5}]}, {"or": [{"eq": ["b", True]}, {"any": {"exists": "c"}}]}]},
    ):
        request = parse_request(query="x", filter=wanted, max_per={"attribute": "a", "n": 2})
        sent = request.model_dump_json(by_alias=True, exclude_none=True)
        assert RetrieveRequest.model_validate_json(sent) == request
        assert parse_request(query="x", filter=request.filter).filter == request.filter


@pytest.mark.parametrize(
    ("cap", "where", "expected"),
    [
        ({"attribute": "a"}, "max_per.n", "required"),
        ({"attribute": "a", "n": 0}, "max_per.n", "greater"),
        ({"attribute": "a", "n": 2, "k": 1}, "max_per.k", "one of attribute, n"),
        ("a:2", "max_per", "a valid"),
    ],
)
def test_a_fault_of_a_cap_is_named(cap: Any, where: str, expected: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_request(query="x", max_per=cap)
    assert caught.value.where == where
    assert expected in caught.value.expected


def check(wanted: dict[str, Any] | None, cap: dict[str, Any] | None, attributes: PoolAttributes) -> None:
    request = parse_request(query="x", filter=wanted, max_per=cap)
    check_attributes(request.filter, request.max_per, attributes.items.names, attributes.are_items)


def test_an_attribute_that_no_item_has_is_refused_with_the_ones_that_exist() -> None:
    check({"or": [{"exists": "brand"}, {"eq": ["tags", "a"]}]}, {"attribute": "price", "n": 1}, NAMED)
    with pytest.raises(RequestError, match=r"filter.or.1.not.in.0: got 'colour', .*one of brand, price, tags;"):
        check({"or": [{"exists": "brand"}, {"not": {"in": ["colour", ["a"]]}}]}, None, NAMED)
    with pytest.raises(RequestError, match=r"max_per.attribute: got 'colour'"):
        check(None, {"attribute": "colour", "n": 1}, NAMED)
    with pytest.raises(RequestError, match=r"filter.exists: got 'price', .*expected items with attributes"):
        check({"exists": "price"}, None, items_of([{}]))
    with pytest.raises(RequestError, match=r"one of a00, .*, a19 and 5 more;"):
        check({"exists": "b"}, None, items_of([{f"a{number:02}": 1} for number in range(25)]))


def test_a_cap_is_for_a_pool_of_items() -> None:
    with pytest.raises(RequestError, match="max_per: got a cap for a pool of collections"):
        check(None, {"attribute": "price", "n": 1}, collections_of([{"price": 3}], [[0]]))


def test_the_forms_of_the_command_line() -> None:
    assert filter_of('{"exists": "a"}') == {"exists": "a"}
    assert cap_of("size:eu:2") == {"attribute": "size:eu", "n": 2}
    with pytest.raises(RequestError, match=r"--filter: got .*expected JSON"):
        filter_of("{'exists': 'a'}")
    for wrong in ("size", "size:", ":2", "size:-1", "size:two"):
        with pytest.raises(RequestError, match="expected ATTRIBUTE:N"):
            cap_of(wrong)


def test_the_schema_shows_the_keys_of_a_filter() -> None:
    schema = RetrieveRequest.model_json_schema()
    assert ", ".join(schema["$defs"]["Filter"]["properties"]) == FORMS
    assert set(Filter.model_fields) != set(schema["$defs"]["Filter"]["properties"])
