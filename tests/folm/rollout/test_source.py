"""Requests of the learner: their queries, seeds and weights, and how far they are ahead of training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from r4t_ray.catalogue import Query
from r4t_ray.errors import EngineError
from r4t_ray.folm.learner.settings import SoftGRPOConfig
from r4t_ray.folm.policy.engines.interface import Completion
from r4t_ray.folm.rollout import source as module
from r4t_ray.folm.rollout.request import Rollout, RolloutRequest, RolloutStats
from r4t_ray.folm.rollout.source import RolloutSource
from r4t_ray.folm.weights.publisher import WeightPublisher

STATS = RolloutStats(seconds={}, restarted=0.0, cache_hit_rate=0.0)
SCHEDULE = [Query(query_id=f"q{number}", task="oar", text="soup", item_ids=(), split="train") for number in range(20)]


class Actors:
    """Answers each request at once, with samples of the request's weights or of other weights."""

    def __init__(self, weights: str | None = None) -> None:
        self.requests: list[RolloutRequest] = []
        self._weights = weights

    def submit(self, actors: Sequence[Any], request: RolloutRequest) -> Any:
        self.requests.append(request)
        rollouts = [
            Rollout(
                query_id=query.query_id,
                task="oar",
                prompt_ids=(1,),
                completion=Completion(text="", token_ids=(1,), logprobs=(-1.0,)),
                reward=0.0,
                components={},
                weights=self._weights or request.weights,
            )
            for query in request.queries
        ]
        return SimpleNamespace(wait=lambda timeout_s: (rollouts, STATS))


def trainer_at(step: int) -> Any:
    return SimpleNamespace(state=SimpleNamespace(global_step=2 * step))


def source_of(grpo: SoftGRPOConfig, actors: Actors, monkeypatch: pytest.MonkeyPatch, rank: int = 0) -> RolloutSource:
    monkeypatch.setattr(module, "submit", actors.submit)
    publisher = WeightPublisher(lambda trainer: Path(f"weights/step-{trainer.state.global_step:08d}"))
    return RolloutSource(
        grpo=grpo, schedule=SCHEDULE, actors=[], weights=publisher, rank=rank, num_workers=2, seed=7, timeout_s=1.0
    )


def test_a_worker_requests_its_share_of_the_queries_of_each_step(monkeypatch: pytest.MonkeyPatch) -> None:
    actors = Actors()
    source = source_of(SoftGRPOConfig(queries_per_step=4, num_steps=3), actors, monkeypatch, rank=1)
    for step in range(3):
        batch = source.batch(step, trainer_at(step))
        assert [rollout.query_id for rollout in batch.rollouts] == [f"q{4 * step + 2}", f"q{4 * step + 3}"]
        assert batch.staleness == 0
    assert [request.seed for request in actors.requests] == [7 + 1_000_003 * step + 101 for step in range(3)]
    assert [request.weights for request in actors.requests] == [f"weights/step-{2 * step:08d}" for step in range(3)]


def test_samples_requested_one_step_ahead_come_from_weights_one_step_old(monkeypatch: pytest.MonkeyPatch) -> None:
    actors = Actors()
    source = source_of(SoftGRPOConfig(queries_per_step=4, num_steps=3, max_staleness=1), actors, monkeypatch)
    assert [source.batch(step, trainer_at(step)).staleness for step in range(3)] == [0, 1, 1]
    assert [request.weights for request in actors.requests] == [f"weights/step-{n:08d}" for n in (0, 0, 2)]


def test_only_the_first_worker_samples_validation_queries_and_all_publish(monkeypatch: pytest.MonkeyPatch) -> None:
    actors = Actors()
    first, second = (source_of(SoftGRPOConfig(queries_per_step=4), actors, monkeypatch, rank) for rank in (0, 1))
    published: list[int] = []

    def publish(trainer: Any) -> Path:
        published.append(trainer.state.global_step)
        return Path(f"weights/step-{trainer.state.global_step:08d}")

    first.weights, second.weights = WeightPublisher(publish), WeightPublisher(publish)
    assert first.rewards_of(SCHEDULE[:3], 2, 9, trainer_at(4)) == [0.0] * 3
    assert second.rewards_of(SCHEDULE[:3], 2, 9, trainer_at(4)) is None
    assert published == [8, 8]
    (request,) = actors.requests
    assert (request.num_samples, request.seed, request.weights) == (2, 9, "weights/step-00000008")


def test_samples_of_unpublished_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(SoftGRPOConfig(queries_per_step=4), Actors("weights/step-00000006"), monkeypatch)
    source.batch(3, trainer_at(3))
    with pytest.raises(EngineError, match=r"rollout at step 4: got samples of the weights \['step-00000006'\]"):
        source.batch(4, trainer_at(4))
