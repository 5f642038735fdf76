"""Requests split over rollout actors."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from r4t_ray.catalogue import Query
from r4t_ray.folm.rollout.pool import submit
from r4t_ray.folm.rollout.request import RolloutRequest

QUERIES = tuple(Query(query_id=f"q{n}", task="oar", text="soup", item_ids=(), split="train") for n in range(5))


def actor_of(parts: list[RolloutRequest]) -> Any:
    return SimpleNamespace(rollout=SimpleNamespace(remote=parts.append))


@pytest.mark.parametrize("num_actors", [1, 2, 3, 7])
def test_a_query_is_sampled_with_one_seed_whatever_the_number_of_actors(num_actors: int) -> None:
    """vLLM samples the query at place i of a request with the request's seed + i."""
    parts: list[RolloutRequest] = []
    request = RolloutRequest(queries=QUERIES, num_samples=2, weights="w", seed=100)
    submit([actor_of(parts) for _ in range(num_actors)], request)
    seeds = {query.query_id: part.seed + place for part in parts for place, query in enumerate(part.queries)}
    assert seeds == {"q0": 100, "q1": 101, "q2": 102, "q3": 103, "q4": 104}
    assert len(parts) == min(num_actors, 5)
