"""The settings of `r4t drift`."""

from __future__ import annotations

from pydantic import Field

from r4t_ray.config import Settings


class DriftConfig(Settings):
    """How many queries `r4t drift` asks, and how much change it accepts before it says to synthesize pairs again."""

    max_queries: int = Field(
        512, ge=1, description="Queries of each kind (training, held-out or new) that are asked, sampled by the seed."
    )
    max_drop: float = Field(
        0.05, ge=0, description="Accepted fall of groundedness, Vendi or alignment, in units of the measure."
    )
    max_query_rise: float = Field(
        0.1,
        ge=0,
        description="Accepted rise of the Euclidean distance between a query and its nearest training query.",
    )
    min_reach: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of the new entries that answers must reach, as a fraction of the old entries' share.",
    )
