"""Fan-outs of an offline optimiser instead of a language model, for a reward that can be computed (OAR).

The optimiser picks pool entries near the query by greedy maximisation of the reward (``rewards.greedy``). The ids of
the picks take the place of a language model's sub-queries, and the pool gives their embeddings
(``folm.rollout.pool_entries``). They are searched, rewarded and written like sampled fan-outs. The files hold the texts
of the picks.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.encoders import CachedEncoder, load_encoder
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.specific import open_specific, specific_settings
from r4t_ray.index import load_index
from r4t_ray.pairs.files import query_seed
from r4t_ray.pairs.settings import PairsConfig
from r4t_ray.rewards.greedy import SPREAD, greedy_specific
from r4t_ray.types import Array, Rows


class PickEntries:
    """A Ray Data actor: picks the fan-outs of a file's OAR (open-ended abstract retrieval) queries.

    Each sample draws its number of candidates and its gamma log-uniformly, at most SPREAD times smaller or larger than
    ``pairs.num_candidates`` and the reward's gamma. So the samples of a query differ, like samples of a language model.
    """

    def __init__(self, workspace: str, config: PairsConfig, seed: int) -> None:
        opened = Workspace(workspace)
        folm = FolmConfig.model_validate(opened.artifact("folm").manifest.config)
        self._reward = open_specific(opened, specific_settings(folm.reward.oar))
        self._config, self._seed, self._k = config, seed, folm.k
        self._index = load_index(opened, "oar")
        self._encoder = CachedEncoder(load_encoder(opened.artifact("encoder").path / "model"))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with ``fan_outs``: for each query a JSON list of fan-outs, each a list of entries' ids."""
        most = min(max(int(self._config.num_candidates * SPREAD), self._k), self._index.size)
        query_emb_BD = self._encoder.encode(list(row["text"]))
        rows_BM = self._index.search(query_emb_BD, most)[1]
        fan_outs = []
        for query_id, z_q_D, rows_M in zip(row["query_id"], query_emb_BD, rows_BM, strict=True):
            near_M = self._reward.nearness(query_id, z_q_D, self._index.emb_MD[rows_M])
            fan_outs.append([self._pick(query_id, sample, rows_M, near_M) for sample in range(int(row["num_samples"]))])
        return {**row, "fan_outs": [json.dumps(answer, ensure_ascii=False) for answer in fan_outs]}

    def _pick(self, query_id: str, sample: int, rows_M: Rows, near_M: Array) -> list[str]:
        rng = np.random.default_rng((query_seed(query_id, self._seed), sample))
        wider, flatter = SPREAD ** rng.uniform(-1.0, 1.0, size=2)
        candidates = rows_M[: max(self._k, round(self._config.num_candidates * wider))]
        gamma = self._reward.config.gamma * flatter
        picks = greedy_specific(self._index.emb_MD[candidates], near_M[: len(candidates)], self._k, gamma)
        return [self._index.ids[candidate] for candidate in candidates[picks].tolist()]
