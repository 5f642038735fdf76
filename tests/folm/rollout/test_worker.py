"""Rollout actors with a real engine: their results, the weights they used, and the restart of a dead actor."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query, load_queries, recombined_queries
from r4t_ray.config import Resources
from r4t_ray.encoders import resolve_model
from r4t_ray.errors import EngineError
from r4t_ray.folm.learner.metrics import step_metrics
from r4t_ray.folm.policy.engines.interface import EngineConfig
from r4t_ray.folm.policy.loading import load_trainable
from r4t_ray.folm.rollout.pool import RolloutPool, submit
from r4t_ray.folm.rollout.request import RolloutRequest
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.weights.disk import publish_weights
from r4t_ray.rewards.format import FormatConfig

BASE = "package:r4t_ray/folm/base_model"
CONFIG = FolmConfig(
    k=5,
    num_hits=2,
    max_completion_tokens=80,
    reward={"wscr": {"expected_share": 0.75}},
    added_rewards={"wscr": (FormatConfig(type="format", weight=0.5),)},
    engine=EngineConfig(max_model_len=192, max_num_seqs=16),
    rollout=Resources(threads=1),
    grpo={"wscr": {"temperature": 1.0}},
)


def request_of(queries: tuple[Query, ...], num_samples: int, weights: str = BASE) -> RolloutRequest:
    return RolloutRequest(queries=queries, num_samples=num_samples, weights=resolve_model(weights), seed=1)


@pytest.fixture(scope="module", params=["transformers", pytest.param("vllm", marks=pytest.mark.slow)])
def pool(request: pytest.FixtureRequest, indexed_workspace: Workspace) -> Iterator[RolloutPool]:
    engine = CONFIG.engine.model_copy(update={"type": request.param})
    config = CONFIG.model_copy(update={"engine": engine})
    pool = RolloutPool(indexed_workspace, config, Path(resolve_model(BASE)))
    yield pool
    pool.shutdown()


@pytest.mark.timeout(300)
def test_rollouts_are_in_order_and_have_rewards_and_the_name_of_their_weights(
    pool: RolloutPool, indexed_workspace: Workspace, trainer_at: Callable[[Any, int], Any], tmp_path: Path
) -> None:
    queries = [*load_queries(indexed_workspace, "wscr", "train")[:2], *load_queries(indexed_workspace, "oar")[:1]]
    queries += recombined_queries(indexed_workspace, "wscr", 1, seed=0)
    asked = tuple(reversed(queries))
    rollouts, stats = pool.rollout(request_of(asked, 3))
    assert [rollout.query_id for rollout in rollouts] == [query.query_id for query in asked for _ in range(3)]
    assert all(len(r.completion.token_ids) == len(r.completion.logprobs) > 0 for r in rollouts)
    for parts, reward in ((r.components, r.reward) for r in rollouts if r.task == "wscr"):
        own = (
            parts["expected"] if math.isnan(parts["coverage"]) else 0.25 * parts["coverage"] + 0.75 * parts["expected"]
        )
        assert 0 <= own <= 1
        assert reward == pytest.approx(own + 0.5 * parts["format"])
    assert all(0 <= r.reward <= 1 and "format" not in r.components for r in rollouts if r.task == "oar")
    assert [math.isnan(r.components["coverage"]) for r in rollouts if r.task == "wscr"] == 3 * [True] + 6 * [False]
    assert stats.seconds["generate"] > 0
    folder = publish_weights(trainer_at(load_trainable(resolve_model(BASE)), 7), tmp_path)
    again, _ = pool.rollout(request_of(asked, 3, str(folder)))
    assert {rollout.weights for rollout in again} == {str(folder)}
    assert [r.completion.token_ids for r in again] == [r.completion.token_ids for r in rollouts]
    rows = step_metrics(4, again, stats, seconds={"step": 1.0}, staleness=0, start=1)
    assert [(row.task, row.num_rollouts, row.weights) for row in rows] == [
        ("oar", 3, "step-00000007"),
        ("wscr", 9, "step-00000007"),
    ]
    covered = [r.components["coverage"] for r in again if r.components.get("coverage", math.nan) >= 0]
    assert rows[1].components["coverage"] == pytest.approx(sum(covered) / 6)


@pytest.mark.timeout(300)
def test_a_query_requested_twice_gets_two_groups(pool: RolloutPool, indexed_workspace: Workspace) -> None:
    query = load_queries(indexed_workspace, "wscr", "train")[0]
    rollouts, _ = pool.rollout(request_of((query, query), 3))
    assert len(rollouts) == 6
    first, second = ([r.completion.token_ids for r in rollouts[start : start + 3]] for start in (0, 3))
    assert first != second


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_an_actor_that_dies_is_restarted_and_repeats_its_request(
    pool: RolloutPool, indexed_workspace: Workspace
) -> None:
    request = request_of(tuple(load_queries(indexed_workspace, "wscr", "train")[:2]), 2)
    before, _ = pool.rollout(request)
    ray.kill(pool.actors[0], no_restart=False)
    after, stats = pool.rollout(request)
    assert [r.completion.token_ids for r in after] == [r.completion.token_ids for r in before]
    assert [stats.restarted, pool.rollout(request)[1].restarted] == [1.0, 0.0]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_an_actor_that_dies_on_every_try_raises_engine_error(ray_session: str) -> None:
    class Dying:
        def rollout(self, request: RolloutRequest) -> None:
            os._exit(1)

    actor = ray.remote(Dying).options(num_cpus=0.1).remote()
    with pytest.raises(EngineError, match="deaths on one request"):
        submit(
            [actor], request_of((Query(query_id="a", task="wscr", text="soup", item_ids=(), split="train"),), 2)
        ).wait(60.0)
