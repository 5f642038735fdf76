"""A retriever for Haystack pipelines: ``pip install "r4t-ray[haystack]"``."""

from __future__ import annotations

from typing import Any

from haystack import Document, component, default_to_dict

from r4t_ray.adapters.found import TOTAL, find
from r4t_ray.errors import RequestError
from r4t_ray.retrieval.retriever import Retriever

BOUNDS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
META = "meta."


@component
class R4TRetriever:
    """Diverse documents for a broad query, best first.

    The ``meta`` of a document hold its ``rank``, the labels of the ``directions`` that found it, and its ``payload``.

    Args:
        place: Folder of a workspace, or the address of `r4t serve`.
        top_k: Items of an answer, unless ``fields`` names ``total`` or ``n``.
        filters: A filter in Haystack's form over the attributes of the catalogue. A filter of ``run`` replaces it.
        fields: Further fields of every request, such as ``{"k": 20, "task": "wscr"}``.

    Raises:
        ArtifactError: The workspace cannot be served.
    """

    def __init__(
        self,
        place: str,
        top_k: int = TOTAL,
        filters: dict[str, Any] | None = None,
        fields: dict[str, Any] | None = None,
    ) -> None:
        self.place, self.top_k, self.filters, self.fields = place, top_k, filters, fields
        self._retriever = Retriever(place)

    @component.output_types(documents=list[Document])
    def run(
        self, query: str, filters: dict[str, Any] | None = None, top_k: int | None = None
    ) -> dict[str, list[Document]]:
        """Answer a query. Raises RequestError if a filter or a field is wrong."""
        given, own = filters or self.filters, self.fields or {}
        size = {} if {"total", "n"} & own.keys() else {"total": top_k or self.top_k}
        fields = {**size, **own, **({"filter": own_filter(given)} if given else {})}
        found = find(self._retriever, query, fields)
        return {"documents": [Document(one.id, one.text, meta=one.metadata, score=one.score) for one in found]}

    def to_dict(self) -> dict[str, Any]:
        """The parameters, for a pipeline that is saved."""
        return default_to_dict(self, place=self.place, top_k=self.top_k, filters=self.filters, fields=self.fields)


def own_filter(filters: dict[str, Any]) -> dict[str, Any]:
    """A filter of ours from Haystack's form. A field may start with ``meta.``.

    Raises:
        RequestError: The form is not Haystack's.

    >>> own_filter({"field": "meta.price", "operator": "<", "value": 50})
    {'range': ['price', {'lt': 50}]}
    >>> own_filter({"operator": "NOT", "conditions": [{"field": "kind", "operator": "in", "value": ["a", "b"]}]})
    {'not': {'and': [{'in': ['kind', ['a', 'b']]}]}}
    """
    match filters:
        case {"operator": "AND" | "OR" as operator, "conditions": list(parts)}:
            return {operator.lower(): [own_filter(part) for part in parts]}
        case {"operator": "NOT", "conditions": list(parts)}:
            return {"not": {"and": [own_filter(part) for part in parts]}}
        case {"field": str(field), "operator": str(operator), "value": value}:
            name = field.removeprefix(META)
            if operator in BOUNDS:
                return {"range": [name, {BOUNDS[operator]: value}]}
            if operator in ("==", "!=", "in", "not in"):
                test = {"eq" if "=" in operator else "in": [name, value]}
                return {"not": test} if operator in ("!=", "not in") else test
    raise RequestError(
        "filters",
        str(filters)[:200],
        "AND, OR or NOT with `conditions`, or `field`, `operator` and `value`",
        "see Haystack's documentation on metadata filtering",
    )
