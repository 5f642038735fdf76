"""Items whose neighbours cover the votes of all training sets, as directions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import NO_ROW, Answer, answers_of_directions, batches, nearest
from r4t_ray.evaluation.methods.tuning import tuned
from r4t_ray.types import Array, Rows

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query

TEMPERATURES = (0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12, 0.15, 0.2)
SEARCHES_A_CALL = 4096
"""Items per search of ``item_neighbours``. It bounds the memory for large pools."""


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """Every training set votes for its items with weight softmax(cosine of its query to the query / tau).

    The directions are chosen greedily: each next direction is the item whose n nearest items add the most votes that
    the earlier directions do not cover. Each direction retrieves its n nearest items. The temperature tau is tuned on
    validation queries.
    """
    return answers_at(bench, query_emb_BD, tuned(bench, SOFT_SETS.name, TEMPERATURES, answers_at))


def answers_at(bench: Bench, query_emb_BD: Array, temperature: float) -> list[Answer]:
    """The answers with one temperature."""
    return cover_answers(bench, (votes(bench, z_q_D, temperature) for z_q_D in query_emb_BD))


@dataclass(frozen=True, kw_only=True)
class Members:
    """Which pool rows each training set contains, as two lists with one entry per member of a set.

    Attributes:
        rows_N: Pool row of each member. A set names a row once.
        sets_N: Position of the set among the training sets, ascending.
        counts_M: Number of sets that contain each pool row.
    """

    rows_N: Rows
    sets_N: Rows
    counts_M: Rows

    def of_each_set(self, num_sets: int) -> list[Rows]:
        """The members of each of the ``num_sets`` training sets."""
        ends = np.cumsum(np.bincount(self.sets_N, minlength=num_sets))
        return np.split(self.rows_N, ends)[:num_sets]

    def sums(self, weights_S: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of the weights of the sets that contain each pool row, shape (M,)."""
        summed_M = np.bincount(self.rows_N, weights=weights_S[self.sets_N], minlength=len(self.counts_M))
        return summed_M.astype(np.float64)  # whole numbers without a member


def members_of(references: Sequence[Rows], pool_size: int) -> Members:
    """The members of the reference sets, in order."""
    distinct = [np.unique(reference) for reference in references]
    rows_N = np.concatenate([np.zeros(0, dtype=np.int64), *distinct]).astype(np.int64)
    sets_N = np.repeat(np.arange(len(distinct)), [len(rows) for rows in distinct]).astype(np.int64)
    return Members(rows_N=rows_N, sets_N=sets_N, counts_M=np.bincount(rows_N, minlength=pool_size).astype(np.int64))


def training_members(bench: Bench) -> Members:
    """The members of the training sets, made once per task."""
    return bench.fits.get("members", lambda: members_of(bench.train_references, len(bench.index.emb_MD)))


def votes(bench: Bench, query_emb_D: Array, temperature: float) -> NDArray[np.float64]:
    """Votes of the training sets for each pool row, shape (M,). The weights of all sets sum to 1."""
    logits_S = (bench.train_emb_BD @ query_emb_D).astype(np.float64) / temperature
    weights_S = np.exp(logits_S - logits_S.max(initial=0.0))
    return training_members(bench).sums(weights_S / max(weights_S.sum(), 1e-300))


def cover_answers(bench: Bench, votes_BM: Iterable[NDArray[np.float64]]) -> list[Answer]:
    """The greedy cover of each query's votes: its picks are the directions, and each retrieves its n nearest items."""
    neighbours_Mn = item_neighbours(bench)
    directions = [bench.index.emb_MD[greedy_cover(votes_M, neighbours_Mn, bench.k)] for votes_M in votes_BM]
    return answers_of_directions(bench.index, directions, bench.n)


def item_neighbours(bench: Bench) -> Rows:
    """The n nearest pool rows of every item, shape (M, n), searched once per task."""

    def search() -> Rows:
        item_emb_MD = bench.index.emb_MD
        blocks = batches(len(item_emb_MD), SEARCHES_A_CALL)
        return np.concatenate([nearest(bench.index, item_emb_MD[block], bench.n) for block in blocks])

    return bench.fits.get("item_neighbours", search)


def greedy_cover(votes_M: NDArray[np.float64], neighbours_Mn: Rows, k: int) -> Rows:
    """Pick items one by one; each pick's neighbours add the most votes that no earlier pick covers.

    The covered votes are submodular: a gain only falls when a pick is added. So a gain from an earlier round is an
    upper bound, and only the item with the largest bound is computed again (lazy greedy; Minoux, 1978). Ties go to the
    lower row.

    Args:
        votes_M: Votes for each pool row, at least 0.
        neighbours_Mn: Rows that each item retrieves. NO_ROW pads.
        k: Number of picks.

    Returns:
        The picked rows in order; fewer than k if no item adds a vote.
    """
    open_M = np.append(votes_M, 0.0)  # NO_ROW, which is -1, reads the last entry
    assert NO_ROW == -1
    gain_M = open_M[neighbours_Mn].sum(axis=1)
    round_M = np.zeros(len(votes_M), dtype=np.int64)
    picks: list[int] = []
    while len(picks) < k:
        best = int(np.argmax(gain_M))
        if gain_M[best] <= 0:
            break
        if round_M[best] < len(picks):
            gain_M[best], round_M[best] = open_M[neighbours_Mn[best]].sum(), len(picks)
            continue
        picks.append(best)
        open_M[neighbours_Mn[best]] = 0.0
    return np.array(picks, dtype=np.int64)


SOFT_SETS = Method(name="soft_sets", answer=answer, tasks=("wscr",))
