"""What the training sets of similar queries hold, as an estimate of the set that a query asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_queries
from r4t_ray.encoders import load_embeddings
from r4t_ray.folm.warm_start.expected_items import expected_items, membership
from r4t_ray.types import Array


@dataclass(frozen=True)
class SimilarSets:
    """The wscr training sets: ids and embeddings of their queries, and which items of the pool each holds."""

    query_ids: Sequence[str]
    query_emb_VD: Array
    member_VM: Array
    temperature: float

    @classmethod
    def open(cls, workspace: Workspace, pool_ids: Sequence[str], temperature: float) -> SimilarSets:
        """Load the training sets of a workspace.

        Args:
            workspace: Holds the finished ingest and embed stages.
            pool_ids: The items of the wscr pool, in the order of the columns.
            temperature: That of ``expected_items``.
        """
        sets = load_queries(workspace, "wscr", "train")
        ids, emb_MD = load_embeddings(workspace, "queries")
        row_of = {name: row for row, name in enumerate(ids)}
        query_ids = [query.query_id for query in sets]
        member_VM = membership([query.item_ids for query in sets], pool_ids)
        return cls(query_ids, emb_MD[[row_of[name] for name in query_ids]], member_VM, temperature)

    def expected(self, query_ids: Sequence[str], query_emb_BD: Array) -> Array:
        """``score_BM`` of ``expected_items``; a query's own set has no vote on it."""
        others_BV = np.array(query_ids)[:, None] != np.array(self.query_ids)[None]
        return expected_items(query_emb_BD, self.query_emb_VD, self.member_VM, self.temperature, others_BV)
