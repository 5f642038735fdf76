"""What the adapters share: the answer to a query as entries with metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.retriever import Retriever

TOTAL = 10
"""Items of an answer, if the fields of the request name neither ``total`` nor ``n``."""


class Found(NamedTuple):
    """An item of an answer. ``metadata`` holds its score, rank (from 1), directions (labels) and payload, if any."""

    id: str
    text: str
    score: float
    metadata: dict[str, Any]


def find(retriever: Retriever, query: str, fields: Mapping[str, Any]) -> list[Found]:
    """The items of the answer to ``query``, best first.

    Args:
        retriever: Answers.
        query: The query, in words.
        fields: Fields of the request, such as ``total``, ``k``, ``task`` and ``filter``.

    Raises:
        RequestError: A field is wrong.
    """
    size = {} if {"total", "n"} & fields.keys() else {"total": TOTAL}
    answer = retriever.answer(parse_request(**{"with_payload": True, **size, **fields, "query": query}))
    labels = {direction.index: direction.label for direction in answer.directions}
    return [
        Found(
            item.id,
            item.text,
            item.score,
            {
                "id": item.id,
                "score": item.score,
                "rank": item.rank,
                "directions": [labels[index] for index in item.directions],
                **({} if item.payload is None else {"payload": item.payload}),
            },
        )
        for item in answer.items
    ]
