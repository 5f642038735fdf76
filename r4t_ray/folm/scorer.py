"""From fan-outs to rewards: one embedding call and one search for a whole batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.encoders import CachedEncoder, load_encoder
from r4t_ray.folm.policy.model import FanOut
from r4t_ray.index import ShardedIndex, load_index
from r4t_ray.rewards import OARConfig, ScoredFanOut, coverage_rewards, oar_rewards
from r4t_ray.types import TASKS, Array, Task


class SetScorer:
    """Embeds sub-queries (cached), searches the task's pool and scores the set that comes back."""

    def __init__(
        self, encoder: CachedEncoder, indexes: Mapping[Task, ShardedIndex], k: int, num_hits: int, oar: OARConfig
    ) -> None:
        self.encoder, self.indexes, self.k, self.num_hits, self.oar = encoder, indexes, k, num_hits, oar
        self._row_of = {task: {name: row for row, name in enumerate(index.ids)} for task, index in indexes.items()}

    @classmethod
    def open(cls, workspace: Workspace, k: int, num_hits: int, oar: OARConfig) -> SetScorer:
        """Load the encoder and both pools of a workspace."""
        encoder = CachedEncoder(load_encoder(workspace.artifact("encoder").path / "model"))
        return cls(encoder, {task: load_index(workspace, task) for task in TASKS}, k, num_hits, oar)

    def retrieve(self, task: Task, query_emb_BD: Array, fan_outs: Sequence[FanOut]) -> ScoredFanOut:
        """Search all sub-queries of all fan-outs at once, equal ones once; missing directions are zero, NaN and -1."""
        index, size = self.indexes[task], (len(fan_outs), self.k)
        where = [(b, i) for b, fan_out in enumerate(fan_outs) for i in range(len((fan_out or ())[: self.k]))]
        sub_emb_BkD = np.zeros((*size, query_emb_BD.shape[1]), np.float32)
        nearest_emb_BkD = np.zeros_like(sub_emb_BkD)
        nearest_cos_Bk = np.full(size, np.nan, np.float32)
        num_hits = min(self.num_hits, index.size)
        hit_rows_BkK = np.full((*size, num_hits), -1, np.int64)
        if where:
            at = tuple(np.array(where).T)
            texts = [(fan_outs[b] or ())[i] for b, i in where]
            sub_emb_BkD[at] = sub_emb_ND = self.encoder.encode(texts)
            # A text that many fan-outs share is searched once.
            number = {text: u for u, text in enumerate(dict.fromkeys(texts))}
            owner_N = [number[text] for text in texts]
            first_U = np.unique(owner_N, return_index=True)[1]
            cos_UK, rows_UK = index.search(sub_emb_ND[first_U], num_hits)
            hit_rows_BkK[at], nearest_cos_Bk[at] = rows_UK[owner_N], cos_UK[owner_N, 0]
            nearest_emb_BkD[at] = index.emb_MD[rows_UK[owner_N, 0]]
        return ScoredFanOut(query_emb_BD, sub_emb_BkD, nearest_cos_Bk, nearest_emb_BkD, hit_rows_BkK)

    def reward(self, task: Task, fan_out: ScoredFanOut, references: Sequence[Sequence[str]]) -> dict[str, Array]:
        """Components of the task's reward, (B,) each, "reward" among them."""
        parts = oar_rewards(fan_out, self.oar)
        if task == "oar":
            return parts
        coverage = coverage_rewards(fan_out, [self.reference_rows(task, ids) for ids in references])
        return parts | coverage

    def reference_rows(self, task: Task, ids: Sequence[str]) -> Set[int]:
        """Pool rows of a reference set."""
        return {self._row_of[task][name] for name in ids}
