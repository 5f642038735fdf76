"""The settings of the evaluate stage."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field, PositiveInt, field_validator

from r4t_ray.config import Settings
from r4t_ray.diffusion import SolverName
from r4t_ray.rewards import OARConfig

MethodName = Literal[
    "no_fanout",
    "no_fanout_mmr",
    "greedy_reward",
    "popular",
    "popular_items",
    "nearest_sets",
    "nearest_sets_items",
    "zero_shot",
    "best_of_5",
    "best_of_5_oracle",
    "r4t_folm",
    "r4t_diffusion",
    "r4t_student",
]
METHOD_NAMES: tuple[MethodName, ...] = get_args(MethodName)


class EvaluationConfig(Settings):
    """What is measured, at which budget, and how often.

    Attributes:
        k: Directions a query.
        n: Items a direction; K = k * n items is every method's budget.
        methods: Rows of the tables.
        max_queries: Held-out queries a task, drawn by the seed; null takes all.
        num_bootstrap: Resamplings behind each 95% interval.
        temperature: Of every language-model fan-out.
        num_candidates: Nearest items of z_q among which no_fanout_mmr and greedy_reward choose.
        mmr_lambda: Weight of relevance against novelty in MMR; 1 is no_fanout.
        latency_batches: Batch sizes of latency_ms_b*; empty measures none.
        latency_repeats: Timed calls a batch size.
        solver: The diffusion's solver; null takes the one stored with the model, like the two below.
        num_steps: Its steps.
        guidance: Its guidance strength.
    """

    k: int = Field(10, ge=1)
    n: int = Field(10, ge=1)
    methods: tuple[MethodName, ...] = METHOD_NAMES
    max_queries: int | None = Field(None, ge=1)
    num_bootstrap: int = Field(1000, ge=1)
    temperature: float = Field(0.9, gt=0)
    num_candidates: int = Field(1000, ge=1)
    mmr_lambda: float = Field(0.5, ge=0, le=1)
    latency_batches: tuple[int, ...] = (1, 8, 64)
    latency_repeats: int = Field(5, ge=1)
    solver: SolverName | None = None
    num_steps: int | None = Field(None, ge=1)
    guidance: float | None = Field(None, ge=0)

    @field_validator("methods")
    @classmethod
    def _some_and_distinct(cls, methods: tuple[MethodName, ...]) -> tuple[MethodName, ...]:
        if not methods or len(set(methods)) != len(methods):
            raise ValueError("methods must be distinct and at least one")
        return methods

    @field_validator("latency_batches")
    @classmethod
    def _positive(cls, batches: tuple[int, ...]) -> tuple[int, ...]:
        if any(batch < 1 for batch in batches) or len(set(batches)) != len(batches):
            raise ValueError("batch sizes must be distinct and at least 1")
        return batches


def _weights(ground: float, div: float, align: float) -> OARConfig:
    return OARConfig(w_ground=ground, w_div=div, w_align=align)


class AblationConfig(Settings):
    """The weightings that are compared, by name, and for how many held-out queries answers are shown."""

    variants: dict[str, OARConfig] = Field(
        default_factory=lambda: {
            "groundedness": _weights(1.0, 0.0, 0.0),
            "groundedness_alignment": _weights(0.5, 0.0, 0.5),
            "6-2-2": _weights(0.6, 0.2, 0.2),
            "4-3-3": _weights(0.4, 0.3, 0.3),
            "2-4-4": _weights(0.2, 0.4, 0.4),
        },
        min_length=1,
    )
    num_shown: PositiveInt = 3


class DriftConfig(Settings):
    """How many queries `r4t drift` asks, and what it lets pass.

    Attributes:
        max_queries: Queries of a kind (training, held-out or new), drawn by the seed.
        max_drop: Groundedness, Vendi or alignment may fall by so much.
        max_query_rise: A query may be so much farther from its nearest training query.
        min_reach: Share of new entries that are reached, as a part of the old entries' share.
    """

    max_queries: PositiveInt = 512
    max_drop: float = Field(0.05, ge=0)
    max_query_rise: float = Field(0.1, ge=0)
    min_reach: float = Field(0.5, ge=0, le=1)
