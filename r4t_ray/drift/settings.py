"""The settings of `r4t drift`."""

from __future__ import annotations

from pydantic import Field

from r4t_ray.config import Settings


class DriftConfig(Settings):
    """Number of queries of `r4t drift`, and the changes that it accepts before it asks for new pairs."""

    max_queries: int = Field(
        512,
        ge=1,
        description="Queries of each kind (training, validation, held-out, new), at most. The seed samples them.",
    )
    max_drop: float = Field(
        0.05, ge=0, description="Accepted decrease of groundedness, Vendi or alignment, in units of the measure."
    )
    max_query_rise: float = Field(
        0.1,
        ge=0,
        description="Accepted increase of the mean Euclidean distance of a query to its nearest training query.",
    )
    min_reach: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Lowest accepted share of new entries in answers, as a fraction of the share of old entries.",
    )
