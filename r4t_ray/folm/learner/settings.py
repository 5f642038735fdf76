"""Settings of Soft-GRPO."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
)

from r4t_ray.config import Operational, Settings
from r4t_ray.folm.learner import ADVANTAGES, LOSSES


def _one_of(names: tuple[str, ...], given: str) -> str:
    if given not in names:
        raise ValueError(f"unknown: write one of {', '.join(names)}")
    return given


AdvantageName = Annotated[str, AfterValidator(lambda given: _one_of(tuple(ADVANTAGES), given))]
LossName = Annotated[str, AfterValidator(lambda given: _one_of(tuple(LOSSES), given))]


class SoftGRPOConfig(Settings):
    """Soft-GRPO (eqs. 6 and 8 of arXiv 2603.06397) on one task."""

    num_steps: NonNegativeInt = Field(
        40,
        description="Batches of rollouts. Each batch gets `num_iterations` optimizer steps. 0 skips RL and keeps the "
        "warm-started model.",
    )
    queries_per_step: PositiveInt = Field(
        5, description="Queries of one batch, summed over all learners. Must be a multiple of `folm.learner.num`."
    )
    num_recombined: NonNegativeInt = Field(
        0,
        description="Queries made by recombining two training queries each. They are added to the training queries. "
        "Raise it if the model memorises a small number of training queries.",
    )
    num_generations: PositiveInt = Field(
        8, ge=2, description="Sampled answers of each query (G). They form one group of eq. 6."
    )
    num_iterations: PositiveInt = Field(
        2,
        description="Optimizer passes over each batch. With 1 and `max_staleness` 0 every ratio of eq. 8 is 1: nothing "
        "is clipped, and `beta_kl` and `beta_entropy` act only by their difference.",
    )
    micro_batch_size: Operational[PositiveInt] = Field(
        160, description="Samples of one forward and backward pass in a learner. Lower it where memory is short."
    )
    learning_rate: PositiveFloat | dict[str, PositiveFloat] = Field(
        4e-4,
        description="AdamW learning rate: one number for all parameters, or a mapping of regular expressions to rates. "
        "A parameter trains at the rate of the expression that its name matches. Parameters without a match are "
        "frozen. Train few parameters if samples are few.",
    )
    warmup_steps: NonNegativeInt = Field(0, description="Optimizer steps over which the learning rate rises from 0.")
    lr_scheduler: Literal["constant_with_warmup", "cosine"] = Field(
        "cosine", description="Schedule of the learning rate after the warm-up: constant, or a cosine decay to 0."
    )
    advantage: AdvantageName = Field(
        "group", description="How rewards of a group become advantages: `group` standardises them (eq. 6)."
    )
    loss: LossName = Field("soft_grpo", description="Loss function. `soft_grpo` is eq. 8.")
    clip_eps: PositiveFloat = Field(
        0.2, description="Half-width of the trust region around ratio 1, outside of which eq. 8 clips."
    )
    beta_kl: NonNegativeFloat = Field(0.05, description="Weight of the KL divergence from the sampling policy (eq. 8).")
    beta_entropy: NonNegativeFloat = Field(
        0.05, description="Weight of the entropy term of eq. 8, -log pi of the sampled tokens."
    )
    temperature: PositiveFloat = Field(
        1.0, description="Temperature at which rollouts are sampled. The loss uses probabilities at this temperature."
    )
    max_grad_norm: PositiveFloat = Field(1.0, description="Gradients with a larger norm are scaled down to it.")
    bf16: bool | None = Field(
        None,
        description="Compute the loss in bfloat16 autocast. null does so where the learner's GPU or CPU multiplies "
        "bfloat16 in hardware.",
    )
    max_logp_gap: Operational[PositiveFloat | None] = Field(
        None,
        description="Largest difference between the engine's and the learner's log-probability of a token, in nats, "
        "when the weights are the same. null takes 0.001 for an engine in float32, where a single larger difference "
        "ends the run, and 0.5 in bfloat16, where the run ends if more than 1% of the tokens differ more.",
    )
    validate_every: NonNegativeInt = Field(
        5,
        description="Steps between two measurements of the reward of fixed validation queries, `validation_reward` in "
        "metrics.parquet. 0 measures never, which saves samples if rewards are expensive.",
    )
    patience: PositiveInt | None = Field(
        3,
        description="RL ends if this number of measurements in a row is not above the best one before them. null runs "
        "all steps. The weights with the best measurement are kept in any case.",
    )
    num_validation: PositiveInt = Field(
        96,
        description="Most validation queries that are measured. Each gets two answers, with the same seed each time.",
    )
    checkpoint_every: Operational[PositiveInt] = Field(
        10, description="Steps between two checkpoints. A learner that dies repeats at most this number of steps."
    )
    max_staleness: Literal[0, 1] = Field(
        0,
        description="1 samples the next batch while the learner trains, from weights that are one step old. 0 makes "
        "engines and learner take turns. Use 1 where they run on different devices.",
    )
    max_unparsed_steps: Operational[PositiveInt] = Field(
        5, description="The run ends after this number of consecutive steps in which no answer can be parsed."
    )

    @property
    def rates(self) -> dict[str, float]:
        """Learning rates by regular expression. The empty expression matches every name."""
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
