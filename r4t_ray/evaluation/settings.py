"""The settings of the evaluate stage and of `r4t ablate`."""

from __future__ import annotations

from pydantic import Field, field_validator

from r4t_ray.config import Settings
from r4t_ray.diffusion import SolverName
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.rewards import OARConfig


class EvaluationConfig(Settings):
    """Methods, budget, sampling and repeats of the evaluate stage."""

    k: int = Field(10, ge=1, description="Directions per query, the same for every method.")
    n: int = Field(
        10,
        ge=1,
        description="Items per direction. Every method retrieves at most k * n items. This is the K of recall@K.",
    )
    methods: tuple[str, ...] = Field(
        tuple(METHODS),
        description="Methods to measure. Leave out the language models (zero_shot, best_of_5, best_of_5_oracle, "
        "r4t_folm) to evaluate without an engine.",
    )
    max_queries: int | None = Field(
        None,
        ge=1,
        description="Held-out queries per task, sampled by the seed. null takes all. Set it to shorten the stage.",
    )
    num_bootstrap: int = Field(1000, ge=1, description="Bootstrap resamples of each 95% interval.")
    temperature: float = Field(0.9, gt=0, description="Sampling temperature of the language models.")
    num_candidates: int = Field(
        1000,
        ge=1,
        description="mmr, dpp and greedy_reward pick their items from this many nearest items of the query.",
    )
    latency_batches: tuple[int, ...] = Field(
        (1, 8, 64), description="Batch sizes of latency_ms_b*, in queries. An empty list measures no latency."
    )
    latency_repeats: int = Field(
        3, ge=1, description="Timed calls per batch size. More repeats narrow the interval of a latency."
    )
    solver: SolverName | None = Field(
        None, description="Solver of r4t_diffusion. null takes the solver stored with the model."
    )
    num_steps: int | None = Field(
        None, ge=1, description="Steps of r4t_diffusion's solver. null takes the number stored with the model."
    )
    guidance: float | None = Field(
        None, ge=0, description="Guidance strength of r4t_diffusion. null takes the strength stored with the model."
    )

    @field_validator("methods")
    @classmethod
    def _known_and_distinct(cls, methods: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := sorted(set(methods) - set(METHODS)):
            raise ValueError(f"unknown method {', '.join(unknown)}; the methods are {', '.join(METHODS)}")
        if not methods or len(set(methods)) != len(methods):
            raise ValueError("name at least one method, and each method once")
        return methods

    @field_validator("latency_batches")
    @classmethod
    def _positive(cls, batches: tuple[int, ...]) -> tuple[int, ...]:
        if any(batch < 1 for batch in batches) or len(set(batches)) != len(batches):
            raise ValueError("each batch size must be at least 1 and occur once")
        return batches


def _weights(ground: float, div: float, align: float) -> OARConfig:
    return OARConfig(w_ground=ground, w_div=div, w_align=align)


class AblationConfig(Settings):
    """The weightings of the OAR (open-ended abstract retrieval) reward that `r4t ablate` compares."""

    variants: dict[str, OARConfig] = Field(
        default_factory=lambda: {
            "groundedness": _weights(1.0, 0.0, 0.0),
            "groundedness_alignment": _weights(0.5, 0.0, 0.5),
            "6-2-2": _weights(0.6, 0.2, 0.2),
            "4-3-3": _weights(0.4, 0.3, 0.3),
            "2-4-4": _weights(0.2, 0.4, 0.4),
        },
        min_length=1,
        description="Name of a variant -> weights of its reward. One language model is trained for each variant.",
    )
    num_shown: int = Field(
        3, ge=1, description="Held-out queries whose answers the report shows for each trained model."
    )
