"""Requests that are refused, and the form of the error."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from r4t_ray.errors import RequestError
from r4t_ray.ids import MAX_ID_CHARS
from r4t_ray.retrieval.faults import shown
from r4t_ray.retrieval.request import MAX_BODY_BYTES, MAX_QUERY_CHARS, MAX_TERMS, RetrieveRequest, parse_request
from r4t_ray.retrieval.response import error_of
from r4t_ray.serve.args import AppArgs


def test_defaults_and_stripping() -> None:
    request = parse_request(query="  a summer dinner \n")
    assert (request.query, request.k, request.items_per_direction, request.seed, request.task) == (
        "a summer dinner",
        10,
        10,
        0,
        None,
    )


@pytest.mark.parametrize(
    ("fields", "where", "got"),
    [
        ({}, "query", "nothing"),
        ({"query": ""}, "query", "''"),
        ({"query": " \t\n\u2003"}, "query", r"' \t\n\u2003'"),
        ({"query": "x" * 100_000}, "query", "(100,000 characters)"),
        ({"query": 7}, "query", "7"),
        ({"query": "dinner", "k": 0}, "k", "0"),
        ({"query": "dinner", "k": -3}, "k", "-3"),
        ({"query": "dinner", "k": "10"}, "k", "'10'"),
        ({"query": "dinner", "k": True}, "k", "True"),
        ({"query": "dinner", "k": 1.5}, "k", "1.5"),
        ({"query": "dinner", "n": 0}, "n", "0"),
        ({"query": "dinner", "n": 1001}, "n", "1001"),
        ({"query": "dinner", "seed": -1}, "seed", "-1"),
        ({"query": "dinner", "seed": 2**63}, "seed", str(2**63)),
        ({"query": "dinner", "task": "music"}, "task", "'music'"),
        ({"query": "dinner", "top": 3}, "top", "3"),
        ({"query": "caf\ud83d"}, "query", r"'caf\ud83d'"),
        ({"query": "dinner", "avoid": ["x", "\ud83d"]}, "avoid.1", r"'\ud83d'"),
    ],
)
def test_a_bad_field_is_named_with_what_was_got(fields: dict[str, object], where: str, got: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_request(**fields)
    assert caught.value.where == where
    assert got in caught.value.got
    assert caught.value.expected
    assert caught.value.fix
    assert len(str(caught.value)) < 600


def test_the_items_that_all_directions_list_are_limited() -> None:
    assert parse_request(query="dinner", k=64, n=156).n == 156
    with pytest.raises(RequestError, match=r"n: got 157; expected k \* n of at most 10,000"):
        parse_request(query="dinner", k=64, n=157)
    assert parse_request(query="dinner", k=64, total=1_000).total == 1_000


def test_every_wrong_field_is_named() -> None:
    with pytest.raises(RequestError, match="also wrong: n, seed"):
        parse_request(query="dinner", k=0, n=0, seed=-1)


def test_bounds_are_accepted() -> None:
    request = parse_request(query="x" * MAX_QUERY_CHARS, k=1, n=1000, seed=2**63 - 1, task="wscr")
    assert len(request.query) == MAX_QUERY_CHARS
    assert request.n == 1000


def test_the_longest_query_and_terms_fit_the_body_limit_however_they_are_escaped() -> None:
    terms = ["\U0001f35c" * MAX_ID_CHARS] * MAX_TERMS
    numbers = {"k": 10, "n": 1000, "seed": 2**63 - 1, "task": "wscr"}
    body = json.dumps({"query": "\U0001f35c" * MAX_QUERY_CHARS, "like": terms, "avoid": terms, **numbers})
    assert len(body) < MAX_BODY_BYTES
    RetrieveRequest.model_validate_json(body)


@settings(deadline=None)
@given(st.text(max_size=300), st.text(max_size=300))
def test_an_error_is_always_json_in_utf8(got: str, where: str) -> None:
    body = error_of(RequestError(where, shown(got), "text\ud800", "\udfff"))
    assert json.loads(json.dumps(body, ensure_ascii=False).encode()) == body


@pytest.mark.parametrize(
    "fields",
    [
        {"workspaces": "x"},
        {"shards": "some"},
        {"shard": {"min_replicas": 2, "max_replicas": 1}},
        {"gateway": {"replicas": 3}},
        {"num_steps": 0},
        {"deadline_s": 0},
    ],
)
def test_bad_arguments_of_the_app_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        AppArgs.model_validate(fields)
