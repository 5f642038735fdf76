"""Targets from training references, for WSCR (weakly supervised compositional retrieval).

Each training and validation query has one more pair, whose rows are items of its own reference. The items take the
place of a fan-out's sub-queries, so no language model is needed. A retriever learns from such pairs about items that
too few training sets hold for the language model to name them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.index import load_index
from r4t_ray.pairs.files import PlannedQuery
from r4t_ray.pairs.settings import PairsConfig
from r4t_ray.types import Array, Rows


class PickReferences:
    """A Ray Data actor: at most k items of each query's reference, chosen to cover it."""

    def __init__(self, workspace: str, config: PairsConfig, seed: int) -> None:
        opened = Workspace(workspace)
        folm = FolmConfig.model_validate(opened.artifact("folm").manifest.config)
        self._k, self._num_hits = folm.k, folm.num_hits
        self._index = load_index(opened, "wscr")
        self._row_of = {name: row for row, name in enumerate(self._index.ids)}

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with ``fan_outs``: for each query a JSON list of ``num_samples`` equal lists of item ids."""
        picked = [self._pick([self._row_of[name] for name in item_ids]) for item_ids in row["item_ids"]]
        return {**row, "fan_outs": [json.dumps([names] * int(row["num_samples"])) for names in picked]}

    def _pick(self, reference: list[int]) -> list[str]:
        rows = np.unique(reference)
        if len(rows) > self._k:
            emb_RD = self._index.emb_MD[rows]
            rows = rows[covering_rows(rows, emb_RD, self._index.search(emb_RD, self._num_hits)[1], self._k)]
        return [self._index.ids[row] for row in rows.tolist()]


def covering_rows(rows_R: Rows, emb_RD: Array, hits_RK: Rows, k: int) -> list[int]:
    """Pick k of R items, each time the item whose hits add the most uncovered items of the reference.

    Of items that add equally many, the one farthest from the picked items comes first (farthest-point selection).

    Args:
        rows_R: Distinct pool rows of the reference.
        emb_RD: Their unit embeddings.
        hits_RK: Pool rows that a search for each of them returns.
        k: Items to pick, at most R.

    Returns:
        Positions in ``rows_R``, in the order of picking.
    """
    covers_RR = (hits_RK[:, :, None] == rows_R).any(axis=1)
    left_R, free_R = np.ones(len(rows_R), np.bool_), np.ones(len(rows_R), np.bool_)
    nearest_R = np.full(len(rows_R), -1.0, np.float32)
    picked: list[int] = []
    for _ in range(k):
        gain_R = np.where(free_R, (covers_RR & left_R).sum(axis=1), -1)
        best = int(np.where(gain_R == gain_R.max(), nearest_R, np.inf).argmin())
        picked.append(best)
        free_R[best] = False
        left_R &= ~covers_RR[best]
        nearest_R = np.maximum(nearest_R, emb_RD @ emb_RD[best])
    return picked


def planned_references(queries: Sequence[Query], num_fan_outs: int, share: float) -> list[PlannedQuery]:
    """The queries with a pair from their reference; ``num_samples`` is the weight of that pair.

    Args:
        queries: Training and validation queries of WSCR.
        num_fan_outs: Fan-outs that the language model samples for training queries.
        share: ``pairs.reference_share``: 0 gives no pair. With 1 there are no fan-outs, and each pair has weight 1.
    """
    with_items = [query for query in queries if query.item_ids and share]
    num_train = max(1, sum(query.split == "train" for query in with_items))
    weight = 1 if share == 1 else max(1, round(share / (1 - share) * num_fan_outs / num_train))
    return [PlannedQuery(query, weight) for query in with_items]
