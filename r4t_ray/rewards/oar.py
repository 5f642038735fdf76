"""The reward of open-ended abstract retrieval (OAR), eq. 1 of arXiv 2603.06397.

Where we leave the paper: (1) the Vendi score enters as Vendi / k, in 0..1, because the paper does not state its scale;
(2) the reward of an answer without directions is 0.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, NonNegativeFloat

from r4t_ray.config import Settings
from r4t_ray.measures import alignment, groundedness, vendi_scores
from r4t_ray.rewards.answers import Answers
from r4t_ray.rewards.rubric import FloatArray, weighted_sum
from r4t_ray.types import Array


class OARConfig(Settings):
    """Weights of the three components of eq. 1, the reward of the paper. A constant answer can score well on it."""

    type: Literal["paper"] = Field("paper", description="Selects the reward of the paper, eq. 1.")
    w_ground: NonNegativeFloat = Field(
        0.6,
        description="Weight of groundedness: how close the directions are to entries of the pool. Raise it if "
        "answers drift away from the entries of the catalogue.",
    )
    w_div: NonNegativeFloat = Field(
        0.2,
        description="Weight of diversity: the Vendi score of the nearest entries, divided by k. Raise it if the "
        "directions of an answer find the same entries.",
    )
    w_align: NonNegativeFloat = Field(
        0.2,
        description="Weight of alignment: the mean cosine between the directions and the query. Raise it if answers "
        "leave the topic of the query.",
    )

    @property
    def weights(self) -> dict[str, float]:
        """The weights by component, in the order in which they are summed."""
        return {"groundedness": self.w_ground, "vendi": self.w_div, "alignment": self.w_align}


def oar_components(answers: Answers) -> dict[str, Array]:
    """Groundedness, Vendi / k and alignment of each answer, (B,) each."""
    retrieved, k = answers.retrieved, answers.retrieved.sub_emb_BkD.shape[1]
    return {
        "groundedness": groundedness(retrieved.nearest_cos_Bk),
        "vendi": vendi_scores(retrieved.nearest_emb_BkD) / k,
        "alignment": alignment(retrieved.sub_emb_BkD, retrieved.query_emb_BD),
    }


def oar_reward(ground_B: FloatArray, div_B: FloatArray, align_B: FloatArray, config: OARConfig) -> FloatArray:
    """Eq. 1 from given components: w_ground ground + w_div div + w_align align. ``div_B`` is Vendi / k."""
    return weighted_sum({"groundedness": ground_B, "vendi": div_B, "alignment": align_B}, config.weights)
