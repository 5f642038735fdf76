"""The most frequent items of the training sets, picked one by one, whatever the query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from r4t_ray.evaluation.answers import Answer, dealt_answer
from r4t_ray.evaluation.methods.popular import Popular
from r4t_ray.types import Rows


@dataclass(frozen=True)
class PopularItems(Popular):
    """The k*n items most frequent in the training references, whatever the query: a list, not k searches.

    Dealt round-robin over k directions, which are the embeddings of the k most frequent.
    """

    name: ClassVar[str] = "popular_items"

    def _answer(self, ranked_rows: Rows) -> Answer:
        return dealt_answer(ranked_rows, self.index.emb_MD, self.k, self.n)
