"""Targets from the references of training and validation queries.

The entries of a reference take the place of a fan-out's sub-queries, so no language model is needed.

- WSCR (weakly supervised compositional retrieval): each query has one pair, whose rows are items that cover its
  reference. A retriever learns from it about items that too few training sets hold for the language model to name them.
- OAR (open-ended abstract retrieval): the queries of a log have pairs of random parts of their relevant sets. A
  retriever learns from them what people meant, which neither the encoder nor a reward of embeddings knows.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.index import load_index
from r4t_ray.pairs.files import query_seed
from r4t_ray.pairs.settings import PairsConfig
from r4t_ray.types import Array, Rows


class PickReferences:
    """A Ray Data actor: at most k entries of each query's reference. WSCR's cover it; OAR's are random."""

    def __init__(self, workspace: str, config: PairsConfig, seed: int) -> None:
        opened = Workspace(workspace)
        folm = FolmConfig.model_validate(opened.artifact("folm").manifest.config)
        self._k, self._num_hits, self._seed = folm.k, folm.num_hits, seed
        self._indexes = {task: load_index(opened, task) for task in folm.tasks}
        self._row_of = {
            task: {name: row for row, name in enumerate(index.ids)} for task, index in self._indexes.items()
        }

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with ``fan_outs``: for each query a JSON list of ``num_samples`` lists of entries' ids.

        The lists of a WSCR query are equal. An OAR query has more lists if ``num_samples`` do not name all its entries.
        """
        task, row_of, num_samples = row["task"], self._row_of[row["task"]], int(row["num_samples"])
        fan_outs = []
        for query_id, names in zip(row["query_id"], row["item_ids"], strict=True):
            rows_R = np.unique([row_of[name] for name in names])
            if task == "wscr":
                parts = [self._covering(rows_R)] * num_samples
            else:
                num_parts = max(num_samples, math.ceil(len(rows_R) / self._k))
                parts = [self._part(rows_R, query_id, number) for number in range(num_parts)]
            fan_outs.append([[self._indexes[task].ids[entry] for entry in part.tolist()] for part in parts])
        return {**row, "fan_outs": [json.dumps(answer, ensure_ascii=False) for answer in fan_outs]}

    def _covering(self, rows_R: Rows) -> Rows:
        if len(rows_R) <= self._k:
            return rows_R
        index = self._indexes["wscr"]
        emb_RD = index.emb_MD[rows_R]
        return rows_R[covering_rows(rows_R, emb_RD, index.search(emb_RD, self._num_hits)[1], self._k)]

    def _part(self, rows_R: Rows, query_id: str, sample: int) -> Rows:
        """The next k of the rows in a random order, so that few samples name all rows."""
        order_R = np.random.default_rng(query_seed(query_id, self._seed)).permutation(rows_R)
        places = sample * self._k + np.arange(min(self._k, len(order_R)))
        return np.sort(order_R.take(places, mode="wrap"))


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
