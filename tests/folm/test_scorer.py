"""A batch of fan-outs is embedded and searched as each of them alone would be."""

from __future__ import annotations

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.folm.scorer import SetScorer
from r4t_ray.rewards import OARConfig

FAN_OUTS = [("salt", "lentil", "basil"), None, ("lentil", "salt"), ("rice", "rice", "lentil\0"), ("lentil", "garlic")]


def test_texts_that_fan_outs_share_are_searched_once_and_found_everywhere(indexed_workspace: Workspace) -> None:
    scorer = SetScorer.open(indexed_workspace, 3, 2, OARConfig())
    query_emb_BD = scorer.encoder.encode(["soup", "stew", "pie", "salad", "curry"])
    together = scorer.retrieve("wscr", query_emb_BD, FAN_OUTS)
    for b, fan_out in enumerate(FAN_OUTS):
        alone = scorer.retrieve("wscr", query_emb_BD[b : b + 1], [fan_out])
        assert np.array_equal(together.hit_rows_BkK[b], alone.hit_rows_BkK[0])
        for name in ("sub_emb_BkD", "nearest_cos_Bk", "nearest_emb_BkD"):
            assert np.allclose(getattr(together, name)[b], getattr(alone, name)[0], atol=1e-5, equal_nan=True), name
    names = [scorer.indexes["wscr"].ids[row] for row in together.hit_rows_BkK[0, :, 0]]
    assert names == ["i-salt", "i-lentil", "i-basil"]

    searched = []
    index = scorer.indexes["wscr"]
    scorer.indexes = {"wscr": Counting(index, searched)}
    scorer.retrieve("wscr", query_emb_BD, FAN_OUTS)
    assert searched == [len({text for fan_out in FAN_OUTS for text in fan_out or ()})]


class Counting:
    """An index that notes how many rows it is asked for."""

    def __init__(self, index: object, searched: list[int]) -> None:
        self._index, self._searched = index, searched

    def __getattr__(self, name: str) -> object:
        return getattr(self._index, name)

    def search(self, q_BD: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        self._searched.append(len(q_BD))
        return self._index.search(q_BD, k)
