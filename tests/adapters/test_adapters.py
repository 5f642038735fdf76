"""The retrievers of other frameworks, with the real packages: the items of our answer, in its order."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from haystack import Pipeline
from langchain_core.runnables import RunnableLambda

from r4t_ray.adapters import haystack, langchain, llama_index
from r4t_ray.adapters.haystack import own_filter
from r4t_ray.artifacts import Workspace
from r4t_ray.errors import RequestError
from r4t_ray.retrieval.response import RetrieveResponse
from r4t_ray.retrieval.retriever import Retriever

QUERY = "a soup for a cold evening"
FIELDS: dict[str, Any] = {"task": "wscr", "k": 4, "filter": {"range": ["rank", {"gte": 8}]}}


@pytest.fixture(scope="module")
def place(tiny_workspace: Workspace) -> str:
    return str(tiny_workspace.root)


@pytest.fixture(scope="module")
def expected(place: str) -> RetrieveResponse:
    answer = Retriever(place).retrieve(QUERY, total=10, with_payload=True, **FIELDS)
    assert len(answer.items) > 2
    return answer


def check(found: list[tuple[str | None, str, dict[str, Any]]], expected: RetrieveResponse) -> None:
    """Ids, texts and metadata are those of the answer."""
    labels = {direction.index: direction.label for direction in expected.directions}
    assert [(identifier, text) for identifier, text, _ in found] == [(item.id, item.text) for item in expected.items]
    for (_, _, metadata), item in zip(found, expected.items, strict=True):
        assert (metadata["rank"], metadata["payload"]) == (item.rank, item.payload)
        assert metadata["score"] == pytest.approx(item.score)
        assert metadata["directions"] == [labels[index] for index in item.directions] != []


def test_langchain(place: str, expected: RetrieveResponse) -> None:
    retriever = langchain.R4TRetriever(place=place, fields={"task": "wscr", "k": 4})
    documents = retriever.invoke(QUERY, filter=FIELDS["filter"])
    check([(one.id, one.page_content, one.metadata) for one in documents], expected)
    assert asyncio.run(retriever.ainvoke(QUERY, filter=FIELDS["filter"])) == documents
    chain = retriever | RunnableLambda(len)
    assert chain.invoke(QUERY) == 10
    assert len(retriever.invoke(QUERY, total=3)) == 3


def test_llama_index(place: str, expected: RetrieveResponse) -> None:
    nodes = llama_index.R4TRetriever(place, **FIELDS).retrieve(QUERY)
    check([(one.node.node_id, one.node.get_content(), one.node.metadata) for one in nodes], expected)
    assert [one.score for one in nodes] == pytest.approx([item.score for item in expected.items])


def test_haystack(place: str, expected: RetrieveResponse) -> None:
    pipeline = Pipeline()
    component = haystack.R4TRetriever(place, fields={"task": "wscr", "k": 4})
    pipeline.add_component("retriever", component)
    again = Pipeline.loads(pipeline.dumps(), allowed_modules=[haystack.__name__])
    filters = {"field": "meta.rank", "operator": ">=", "value": 8}
    documents = again.run({"retriever": {"query": QUERY, "filters": filters}})["retriever"]["documents"]
    check([(one.id, one.content, one.meta) for one in documents], expected)
    assert [one.score for one in documents] == pytest.approx([item.score for item in expected.items])
    assert len(component.run(QUERY, top_k=4)["documents"]) == 4
    per_direction = haystack.R4TRetriever(place, fields={"task": "wscr", "k": 2, "n": 1})
    assert len(per_direction.run(QUERY)["documents"]) == 2


def test_filters_of_haystack_mean_the_same_here() -> None:
    tests = [{"field": "a", "operator": name, "value": [1]} for name in ("==", "!=", "in", "not in")]
    assert [own_filter(each) for each in tests] == [
        {"eq": ["a", [1]]}, {"not": {"eq": ["a", [1]]}}, {"in": ["a", [1]]}, {"not": {"in": ["a", [1]]}},
    ]  # fmt: skip
    assert own_filter({"operator": "OR", "conditions": tests[:1] * 2}) == {"or": [{"eq": ["a", [1]]}] * 2}
    for wrong in ({"field": "a", "operator": "~", "value": 1}, {"operator": "XOR", "conditions": []}, {}):
        with pytest.raises(RequestError, match="filters"):
            own_filter(wrong)


def test_a_wrong_field_is_named(tmp_path: Path, place: str) -> None:
    with pytest.raises(RequestError, match="totl"):
        llama_index.R4TRetriever(place, totl=3).retrieve(QUERY)
