"""The items of the nearest training queries' sets, picked one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from r4t_ray.evaluation.answers import Answer, dealt_answer
from r4t_ray.evaluation.methods.nearest_sets import NearestSets
from r4t_ray.types import Rows


@dataclass(frozen=True)
class NearestSetsItems(NearestSets):
    """The k*n best items by the score of nearest_sets: a list, not k searches.

    Dealt round-robin over k directions, which are the embeddings of the first k.
    """

    name: ClassVar[str] = "nearest_sets_items"

    def _answers(self, ranked: Sequence[Rows]) -> list[Answer]:
        return [dealt_answer(ranked_rows, self.index.emb_MD, self.k, self.n) for ranked_rows in ranked]
