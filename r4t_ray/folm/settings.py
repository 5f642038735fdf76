"""Settings of stage 1. Defaults are Table 3 of arXiv 2603.06397 where it gives one."""

from __future__ import annotations

import re
from typing import Literal, Self

from pydantic import (
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

from r4t_ray.config import Settings
from r4t_ray.folm.learner.lora import LoRAConfig
from r4t_ray.folm.policy.engines.interface import EngineConfig
from r4t_ray.folm.policy.prompt import PromptStyle
from r4t_ray.folm.warm_start.settings import WarmStartConfig
from r4t_ray.rewards import AddedRewardConfig, CoverageConfig, OARConfig
from r4t_ray.types import TASKS, Task


class SoftGRPOConfig(Settings):
    """Soft-GRPO (eqs. 6 and 8): ``num_iterations`` optimizer passes over each ``queries_per_step`` groups.

    ``num_recombined`` queries more are made of the training queries, for where these are few enough to learn by heart.
    ``learning_rate`` is one rate for all parameters, or rates by regular expression: a parameter moves at the rate of
    the one that is found in its name, and not at all where none is. Let few move where samples are too few to tell what
    all of them should do. With one pass over a batch every ratio is 1, nothing is clipped, and of ``beta_kl`` and
    ``beta_entropy`` only the difference acts. ``max_staleness`` 1 has the samples of a step made while the step before
    is learnt from; with 0 the engines wait for the learner, and samples are of its own weights. ``max_logp_gap`` is the
    bound for samples of the learner's own weights: those of the step before are not held to it. After
    ``max_unparsed_steps`` in which not one answer could be parsed the run ends, for nothing can be learnt from them.
    ``bf16``, computing the loss in bfloat16, is by default what the learner's device is made for.
    """

    steps: NonNegativeInt = 1000
    queries_per_step: PositiveInt = 64
    num_recombined: NonNegativeInt = 0
    num_generations: PositiveInt = Field(8, ge=2)
    num_iterations: PositiveInt = 2
    micro_batch_size: PositiveInt = 64
    learning_rate: PositiveFloat | dict[str, PositiveFloat] = 1e-7
    warmup_steps: NonNegativeInt = 0
    lr_scheduler: Literal["constant_with_warmup", "cosine"] = "constant_with_warmup"
    clip: PositiveFloat = 0.2
    beta_kl: NonNegativeFloat = 0.05
    beta_entropy: NonNegativeFloat = 0.05
    temperature: PositiveFloat = 1.0
    max_grad_norm: PositiveFloat = 1.0
    bf16: bool | None = None
    max_logp_gap: PositiveFloat = 0.5
    checkpoint_every: PositiveInt = 50
    max_staleness: Literal[0, 1] = 0
    max_unparsed_steps: PositiveInt = 5

    @property
    def rates(self) -> dict[str, float]:
        """Learning rates by regular expression; the empty one is found in every name."""
        return self.learning_rate if isinstance(self.learning_rate, dict) else {"": self.learning_rate}

    @field_validator("learning_rate")
    @classmethod
    def _expressions_compile(cls, value: float | dict[str, float]) -> float | dict[str, float]:
        if value == {}:
            raise ValueError("no rate: write one number, or a regular expression of parameter names with its rate")
        for expression in value if isinstance(value, dict) else ():
            try:
                re.compile(expression)
            except re.error as error:
                raise ValueError(f"{expression!r} is not a valid regular expression: {error}") from error
        return value


class FolmConfig(Settings):
    """The fan-out language models, one a task: base model, warm start, Soft-GRPO and where its rollouts run.

    A learner that dies starts again from its last checkpoint, ``max_failures`` times; a rollout that takes longer than
    ``rollout_timeout_s``, with the start of its actor where that was lost, is taken for hung and asked anew.
    ``lora`` has RL train adapters alone; ``fsdp`` shards the learner's model over its workers, each with a GPU.
    ``rewards`` are added to a task's own reward, in RL alone: the tables stay those of the task.
    """

    base_model: str = "package:r4t_ray/folm/base_model"
    prompt_style: PromptStyle = "compact"
    tasks: tuple[Task, ...] = TASKS
    k: PositiveInt = 10
    num_hits: PositiveInt = 10
    max_completion_tokens: PositiveInt = 512
    oar: OARConfig = OARConfig()
    wscr: CoverageConfig = CoverageConfig()
    rewards: dict[Task, tuple[AddedRewardConfig, ...]] = Field(default_factory=dict)
    engine: EngineConfig = EngineConfig()
    num_rollout_actors: PositiveInt = 1
    rollout_cpus: NonNegativeFloat = 1.0
    rollout_gpus: NonNegativeFloat = 0.0
    num_workers: PositiveInt = 1
    worker_gpus: NonNegativeInt = 0
    learner_threads: NonNegativeInt = 0
    lora: LoRAConfig | None = None
    fsdp: bool = False
    max_failures: NonNegativeInt = 2
    rollout_timeout_s: PositiveFloat = 1800.0
    warm_start: WarmStartConfig = WarmStartConfig()
    grpo: dict[Task, SoftGRPOConfig] = Field(default_factory=dict)

    def grpo_of(self, task: Task) -> SoftGRPOConfig:
        """The settings of one task's RL; the defaults where ``grpo`` does not name it."""
        return self.grpo.get(task, SoftGRPOConfig())

    @model_validator(mode="after")
    def _shards_are_on_gpus(self) -> Self:
        if self.fsdp and (self.worker_gpus == 0 or self.num_workers == 1):
            raise ValueError(
                f"fsdp shards over workers with a GPU each: got num_workers {self.num_workers}, worker_gpus "
                f"{self.worker_gpus}; raise both, or set fsdp: false"
            )
        return self

    @model_validator(mode="after")
    def _workers_share_the_batches(self) -> Self:
        for task in self.tasks:
            grpo = self.grpo_of(task)
            if grpo.queries_per_step % self.num_workers:
                raise ValueError(
                    f"grpo.{task}.queries_per_step ({grpo.queries_per_step}) must be a multiple of num_workers "
                    f"({self.num_workers})"
                )
            samples = grpo.queries_per_step * grpo.num_generations // self.num_workers
            if samples % min(samples, grpo.micro_batch_size):
                raise ValueError(
                    f"a worker's samples a step ({samples} = grpo.{task}.queries_per_step * num_generations / "
                    f"num_workers) must be a multiple of micro_batch_size ({grpo.micro_batch_size})"
                )
        return self

    @model_validator(mode="after")
    def _every_query_has_a_reward(self) -> Self:
        if self.grpo_of("wscr").num_recombined and not self.wscr.expected_share:
            raise ValueError(
                "grpo.wscr.num_recombined makes queries without a reference, which only expected items can reward: "
                "set wscr.expected_share above 0"
            )
        return self
