"""A rollout worker: a Ray actor that holds a generation engine and scores its answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import ray

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query
from r4t_ray.folm.policy.engines.interface import Completion
from r4t_ray.folm.policy.model import FanOutModel, SharedEngine
from r4t_ray.folm.rollout.request import Rollout, RolloutRequest, RolloutStats
from r4t_ray.folm.rollout.task_rewards import TaskRewards, score_texts
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.types import TASKS


class RolloutWorker:
    """Samples and scores answers. It first loads the weights that the request names."""

    def __init__(self, workspace: str, config: FolmConfig, model_dir: str) -> None:
        self._config = config
        self._engine = SharedEngine(partial(FanOutModel.load, config=config))
        self._engine.at(Path(model_dir))
        self._rewards = TaskRewards(Workspace(workspace), config)
        # Whether this process replaces one that died. The next answer reports it and resets it.
        self._is_restarted = bool(ray.get_runtime_context().was_current_actor_reconstructed)

    def transfer(self, call: str, arguments: dict[str, Any], weights: str | None = None) -> None:
        """Run one call of vLLM's weight transfer. The last call names the weights that the engine then has."""
        self._engine.transfer(call, arguments, Path(weights) if weights else None)

    def rollout(self, request: RolloutRequest) -> tuple[list[Rollout], RolloutStats]:
        """Scored samples of every query, in the request's order, and the statistics of this request.

        Raises:
            RuntimeError: Weights are sent by transfer, and this engine has not received the request's weights.
        """
        if self._config.engine.weight_transfer != "disk" and self._engine.weights != Path(request.weights):
            raise RuntimeError(f"this engine was restarted and has not been sent {request.weights}")
        started = time.perf_counter()
        model = self._engine.at(Path(request.weights))
        loaded = time.perf_counter()
        queries = request.queries
        places = {task: [place for place, query in enumerate(queries) if query.task == task] for task in TASKS}
        completions = {
            task: model.complete(
                task,
                [queries[place].text for place in asked],
                self._config.k,
                num_samples=request.num_samples,
                temperature=self._config.grpo[task].temperature,
                seed=request.seed,
            )
            for task, asked in places.items()
            if asked
        }
        generated = time.perf_counter()
        groups: dict[int, list[Rollout]] = {}
        for task, sampled in completions.items():
            scored = self._score(model, [queries[place] for place in places[task]], sampled)
            groups.update(zip(places[task], scored, strict=True))
        encoder = self._rewards.encoder
        self._is_restarted, is_restarted = False, self._is_restarted
        stats = RolloutStats(
            seconds={
                "load": loaded - started,
                "generate": generated - loaded,
                "score": time.perf_counter() - generated,
            },
            restarted=float(is_restarted),
            cache_hit_rate=encoder.hits / max(1, encoder.hits + encoder.misses),
        )
        return [rollout for place in range(len(queries)) for rollout in groups[place]], stats

    def _score(
        self, model: FanOutModel, queries: Sequence[Query], completions: Sequence[Sequence[Completion]]
    ) -> list[list[Rollout]]:
        task, n = queries[0].task, len(completions[0])
        flat = [completion for row in completions for completion in row]
        owners = [query for query in queries for _ in range(n)]
        output = score_texts(self._rewards, owners, [completion.text for completion in flat], self._config)
        prompt_of = {query.query_id: model.prompt_ids(task, query.text, self._config.k) for query in queries}
        rollouts = [
            Rollout(
                query_id=query.query_id,
                task=task,
                prompt_ids=prompt_of[query.query_id],
                completion=completion,
                reward=float(output.total_B[b]),
                components={name: float(values_B[b]) for name, values_B in output.breakdown.items()},
                weights=str(self._engine.weights),
            )
            for b, (query, completion) in enumerate(zip(owners, flat, strict=True))
        ]
        return [rollouts[start : start + n] for start in range(0, len(rollouts), n)]
