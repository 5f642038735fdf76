"""The bridge between trl and the rollout pool: trl requests the samples of a batch and gets them with rewards."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from r4t_ray.errors import ConfigError
from r4t_ray.folm.learner.metrics import StepMetrics, step_metrics
from r4t_ray.folm.learner.run_log import RunLog
from r4t_ray.folm.learner.settings import SoftGRPOConfig
from r4t_ray.folm.learner.status import write_status
from r4t_ray.folm.policy.prompt import format_answer
from r4t_ray.folm.rollout.request import Rollout
from r4t_ray.folm.rollout.source import RolloutSource
from r4t_ray.folm.validation import Validation

MAX_SHOWN_CHARS = 300

_logger = logging.getLogger(__name__)


class RolloutBridge:
    """trl's ``rollout_func``: gets the samples of a step, checks them, and logs them."""

    def __init__(self, *, grpo: SoftGRPOConfig, source: RolloutSource, log: RunLog, validation: Validation) -> None:
        self._grpo, self._source, self._log, self._validation = grpo, source, log, validation
        self._form = FormCheck(grpo.max_unparsed_steps)

    def __call__(self, query_ids: list[str], trainer: Any) -> dict[str, Any]:
        """The samples of ``query_ids``. Each id must be repeated G times in a row."""
        step = trainer.num_batches
        got, expected = query_ids[:: self._grpo.num_generations], [q.query_id for q in self._source.queries_of(step)]
        assert got == expected, f"step {step} is for {expected}, the trainer asks for {got}"
        validation_reward = self._validation.run(step, trainer) if self._validation.is_due(step) else None
        batch = self._source.batch(step, trainer)
        trainer.is_on_policy = batch.staleness == 0
        self._form.check(batch.rollouts)
        rows = step_metrics(
            step,
            batch.rollouts,
            batch.stats,
            seconds={"step": self._log.lap(), "publish": self._source.weights.take_seconds()},
            staleness=batch.staleness,
            start=self._log.starts,
        )
        self._record(step, [replace(row, validation_reward=validation_reward) for row in rows], trainer)
        return {
            "prompt_ids": [list(rollout.prompt_ids) for rollout in batch.rollouts],
            "completion_ids": [list(rollout.completion.token_ids) for rollout in batch.rollouts],
            "logprobs": [list(rollout.completion.logprobs) for rollout in batch.rollouts],
            "set_reward": [rollout.reward for rollout in batch.rollouts],
        }

    def _record(self, step: int, rows: list[StepMetrics], trainer: Any) -> None:
        """Put a step's rows into the run log, the status file, TensorBoard and the process's log."""
        self._log.add(rows)
        if trainer.accelerator.is_main_process:
            write_status(self._log)
        for row in rows:
            for name, value in row.curves().items():
                trainer._metrics["train"][f"{row.task}/{name}"].append(value)
        means = ", ".join(
            f"{row.task} reward {row.reward:.4f}"
            + ("" if row.validation_reward is None else f", validation reward {row.validation_reward:.4f}")
            for row in rows
        )
        _logger.info("Soft-GRPO step %d of %d: %s", step + 1, self._grpo.num_steps, means)


class FormCheck:
    """Ends a run if no answer of its model can be parsed."""

    def __init__(self, max_steps: int) -> None:
        self._max_steps, self._num_steps = max_steps, 0

    def check(self, rollouts: Sequence[Rollout]) -> None:
        """Count consecutive steps in which no answer can be parsed.

        Raises:
            ConfigError: There were ``max_steps`` such steps.
        """
        if any(rollout.components["parsed"] for rollout in rollouts):
            self._num_steps = 0
            return
        self._num_steps += 1
        if self._num_steps < self._max_steps:
            return
        raise ConfigError(
            "folm.base_model",
            f"no answer that can be parsed in {self._num_steps} steps, the last: "
            f"{rollouts[-1].completion.text[-MAX_SHOWN_CHARS:]!r}",
            f"answers of the form {format_answer(['first', 'second'])}",
            "warm-start the model (folm.warm_start), raise folm.max_completion_tokens where answers are cut off, or "
            "name another base model",
        )


def set_reward(prompts: list[str], completions: list[str], set_reward: list[float], **_: Any) -> list[float | None]:
    """Trl's reward function: returns the rollout actor's rewards. NaN becomes None, which trl leaves out."""
    return [None if math.isnan(reward) else reward for reward in set_reward]
