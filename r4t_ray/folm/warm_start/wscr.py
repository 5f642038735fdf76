"""Answers to WSCR (weakly supervised compositional retrieval): names of items that cover similar training sets."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query, load_items, recombined_queries
from r4t_ray.encoders import load_encoder
from r4t_ray.errors import DataError
from r4t_ray.folm.warm_start.settings import WarmStartConfig
from r4t_ray.index import load_index
from r4t_ray.rewards.coverage import expected_items, membership
from r4t_ray.types import Array, Rows

_logger = logging.getLogger(__name__)

MOST_ASKED = 256
"""Training queries whose answers decide in how many sets a named item must be."""
BLOCK = 128
"""Number of queries whose scores over the sets and over the pool are in memory at the same time."""


def wscr_answers(
    workspace: Workspace,
    config: WarmStartConfig,
    sets: list[Query],
    emb_BD: Array,
    *,
    k: int,
    num_hits: int,
    seed: int,
) -> Iterator[tuple[str, list[str]]]:
    """Item names whose hits cover the query's set and similar sets, in alphabetical order.

    The order is fixed because a small model then need not learn one, and seldom names an item twice.

    Raises:
        DataError: No item is in ``config.min_sets`` training sets.
    """
    index = load_index(workspace, "wscr")
    text_of = {item.item_id: item.text for item in load_items(workspace)}
    member_BM = membership([query.item_ids for query in sets], index.ids)
    count_M = member_BM.sum(axis=0)
    used = np.flatnonzero(count_M)
    _, hits_CK = index.search(index.emb_MD[used], num_hits)
    least = config.min_sets or least_sets(config, emb_BD, member_BM, used_C=used, hits_CK=hits_CK, k=k)
    named, hits_CK = used[count_M[used] >= least], hits_CK[count_M[used] >= least]
    if not len(named):
        raise DataError(
            "the training sets",
            f"no item that is in {least} of them",
            "some items that are",
            "lower folm.warm_start.min_sets",
        )
    _logger.info("wscr: the warm start names the %d items that are in %d or more training sets", len(named), least)
    names = [text_of[index.ids[row]] for row in named]
    for text, score_M in _wanted_items(workspace, config, sets, emb_BD, member_BM, seed=seed):
        yield text, sorted(names[pick] for pick in greedy_cover(score_M, hits_CK, k))


def least_sets(
    config: WarmStartConfig, emb_BD: Array, member_BM: csr_array, *, used_C: Rows, hits_CK: Rows, k: int
) -> int:
    """The largest number of sets that an item must be in, without a loss that can be measured.

    Fewer names are easier to learn. Answers to training queries are built without their own votes, from the items that
    are in n or more sets. The largest n is taken whose mean recall of the query's set is at most one standard error
    below the recall with all items (the one-standard-error rule of Breiman et al. 1984).

    Args:
        config: The temperature of the votes.
        emb_BD: Unit embeddings of the training queries.
        member_BM: 1 where item m is in training set b.
        used_C: The items that are in a training set.
        hits_CK: The items that a search for each of them returns.
        k: Sub-queries of an answer.
    """
    count_C = member_BM.sum(axis=0)[used_C]
    asked = np.linspace(0, len(emb_BD) - 1, min(MOST_ASKED, len(emb_BD)), dtype=np.int64)
    others_bB = asked[:, None] != np.arange(len(emb_BD))
    score_bM = expected_items(emb_BD[asked], emb_BD, member_BM, config.temperature, others_bB)
    share_bM = member_BM[asked].toarray() / np.maximum(member_BM.sum(axis=1)[asked, None], 1)

    def recalls(least: int) -> Array:
        hits_cK = hits_CK[count_C >= least]
        found = (np.unique(hits_cK[greedy_cover(score_M, hits_cK, k)]) for score_M in score_bM)
        return np.array([share_M[rows].sum() for rows, share_M in zip(found, share_bM, strict=True)])

    every_b = recalls(1)
    bound, least = every_b.mean() - every_b.std() / len(asked) ** 0.5, 1
    while (count_C > least).any() and recalls(least + 1).mean() >= bound:
        least += 1
    return least


def _wanted_items(
    workspace: Workspace, config: WarmStartConfig, sets: list[Query], emb_BD: Array, member_BM: csr_array, *, seed: int
) -> Iterator[tuple[str, Array]]:
    """Yield queries with ``score_M`` over the pool: all training queries in each pass, then the recombined queries."""
    rng, texts = np.random.default_rng(seed), [query.text for query in sets]
    for _ in range(config.num_passes.wscr):
        voters_B = rng.random(len(sets)) < config.voter_share
        for block in blocks(len(sets)):
            own_bB = np.arange(len(sets))[block, None] == np.arange(len(sets))
            score_bM = expected_items(emb_BD[block], emb_BD, member_BM, config.temperature, voters_B & ~own_bB)
            yield from zip(texts[block], score_bM + config.own_weight * member_BM[block].toarray(), strict=True)
    count = config.num_recombined.wscr
    new = [query.text for query in recombined_queries(workspace, "wscr", count, seed)] if count else []
    if new:
        new_emb_ND = load_encoder(workspace.artifact("encoder").path / "model").encode(new)
        for block in blocks(len(new)):
            every_bB = np.ones((len(new[block]), len(sets)), np.bool_)
            score_bM = expected_items(new_emb_ND[block], emb_BD, member_BM, config.temperature, every_bB)
            yield from zip(new[block], score_bM, strict=True)


def blocks(num: int) -> Iterator[slice]:
    """Slices of at most BLOCK that cover ``range(num)`` in order."""
    return (slice(start, min(start + BLOCK, num)) for start in range(0, num, BLOCK))


def greedy_cover(score_M: Array, hits_CK: Rows, k: int) -> list[int]:
    """Greedy coverage: pick k of C candidates, each time the one whose hits add the largest uncovered score.

    Args:
        score_M: Score of each item.
        hits_CK: The K items that a search for each candidate returns.
        k: Candidates to pick; all candidates if there are fewer.

    Returns:
        The picked candidates in the order of picking.
    """
    left_M = score_M.copy()
    picked: list[int] = []
    for _ in range(min(k, len(hits_CK))):
        picked.append(int(left_M[hits_CK].sum(axis=1).argmax()))
        left_M[hits_CK[picked[-1]]] = 0.0
    return picked
