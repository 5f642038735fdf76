"""Clients of `r4t serve`: ``Client`` and ``AsyncClient``, and the types of their answers."""

from __future__ import annotations

from r4t_ray.retrieval.client import AsyncClient, Client
from r4t_ray.retrieval.messages import (
    BatchEntry,
    BatchResponse,
    FanoutResponse,
    IndexResponse,
    ItemResponse,
    SearchResponse,
)
from r4t_ray.retrieval.response import RetrieveResponse

__all__ = [
    "AsyncClient",
    "BatchEntry",
    "BatchResponse",
    "Client",
    "FanoutResponse",
    "IndexResponse",
    "ItemResponse",
    "RetrieveResponse",
    "SearchResponse",
]
