"""The measures of answers. The functions that training calls compute the measures of one answer.

A method may emit fewer than k directions. The missing ones retrieve no items and add nothing to Vendi, which is still
divided by k. Groundedness and alignment are means over the emitted directions. An empty answer scores 0 everywhere.

A measure is NaN for a query that it does not apply to: theme measures for a theme without relevant collections, recall
of seen items for a reference without seen items, and comparisons with other answers if there are none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from r4t_ray.evaluation.bench import Bench
from r4t_ray.evaluation.method_answer import NO_ROW, Answer, batches
from r4t_ray.measures import (
    alignment,
    groundedness,
    hit,
    identification,
    jaccard,
    mean_rows,
    recall,
    swap,
    theme_precision,
    theme_precision_all,
    theme_recall,
    vendi_score,
    vendi_scores_of_k,
)
from r4t_ray.rewards import BackTranslationReward, OARConfig, SpecificReward, oar_reward, specific_components
from r4t_ray.types import Array

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query
    from r4t_ray.index import ShardedIndex

Values = NDArray[np.float64]

POOL_BLOCK = 65536
"""Pool rows per matrix product. It bounds the memory for large pools."""


def geometric_scores(
    answer: Answer, query_emb_D: Array, index: ShardedIndex, k: int, config: OARConfig
) -> dict[str, float]:
    """vendi, groundedness, alignment and oar_reward (eqs. 1, 3 and 4 of arXiv 2603.06397).

    Vendi is measured on the directions' top items and divided by k. Groundedness and alignment are measured on the
    directions. OAR stands for open-ended abstract retrieval.
    """
    if not len(answer.directions_kD):
        return {"vendi": 0.0, "groundedness": 0.0, "alignment": 0.0, "oar_reward": 0.0}
    top = answer.top_rows
    div_B = np.array([vendi_score(index.emb_MD[top]) / k if len(top) else 0.0])
    ground_B = groundedness(nearest_cosines(answer.directions_kD, index.emb_MD)[None])
    align_B = alignment(answer.directions_kD[None], query_emb_D[None])
    return {
        "vendi": float(div_B[0]),
        "groundedness": float(ground_B[0]),
        "alignment": float(align_B[0]),
        "oar_reward": float(oar_reward(ground_B, div_B, align_B, config)[0]),
    }


def specific_score(reward: SpecificReward, answer: Answer, query: Query, query_emb_D: Array, bench: Bench) -> float:
    """The reward that is about the query (``rewards.specific``) of one answer, with the directions' top items."""
    top = answer.top_rows
    num_missing = bench.k - len(top)
    found_kD = bench.index.emb_MD[top]
    has_item_k = answer.hits_kn[:, 0] != NO_ROW
    cos_k = np.einsum("kd,kd->k", answer.directions_kD[has_item_k], found_kD)
    components = specific_components(
        np.pad(cos_k, (0, num_missing), constant_values=np.nan)[None],
        np.pad(found_kD, ((0, num_missing), (0, 0)))[None],
        np.pad(reward.nearness(query.query_id, query_emb_D, found_kD), (0, num_missing))[None],
        gamma=reward.config.gamma,
    )
    return float(components["specific"][0])


def back_translation_scores(
    reward: BackTranslationReward, answers: Sequence[Answer], queries: Sequence[Query], bench: Bench
) -> Values:
    """The back-translation reward of each answer, shape (B,), by one call of the language model for all new sets."""
    tops = [answer.top_rows for answer in answers]
    found_BkD = np.stack([np.pad(bench.index.emb_MD[top], ((0, bench.k - len(top)), (0, 0))) for top in tops])
    explained_B = reward.explained(
        [query.query_id for query in queries],
        [query.text for query in queries],
        [sorted(set(top.tolist())) for top in tops],
        bench.k,
    )
    return reward.total(explained_B, vendi_scores_of_k(found_BkD) / bench.k).astype(np.float64)


def nearest_cosines(directions_kD: Array, item_emb_MD: Array) -> Array:
    """Cosine of each direction with the nearest item of the whole pool, shape (k,), by exhaustive search."""
    nearest_k = np.full(len(directions_kD), -1.0, dtype=np.float32)
    for block in batches(len(item_emb_MD), POOL_BLOCK):
        np.maximum(nearest_k, (directions_kD @ item_emb_MD[block].T).max(axis=1), out=nearest_k)
    return np.clip(nearest_k, -1.0, 1.0)


def coverage_scores(answer: Answer, query: Query, pool_ids: Sequence[str], budget: int) -> dict[str, float]:
    """recall@K (eq. 5 of arXiv 2603.06397) and hit@K against the query's reference set. K is the budget."""
    retrieved = {pool_ids[row] for row in answer.retrieved}
    reference = set(query.item_ids)
    return {
        f"recall@{budget}": float(recall(retrieved, reference)),
        f"hit@{budget}": float(hit(retrieved, reference)),
    }


def recall_by_novelty(
    answer: Answer, query: Query, pool_ids: Sequence[str], budget: int, seen: Set[str]
) -> dict[str, float]:
    """recall_seen@K and recall_unseen@K: recall of the reference items that are in ``seen``, and of the others."""
    retrieved = {pool_ids[row] for row in answer.retrieved}
    parts = {"seen": set(query.item_ids) & seen, "unseen": set(query.item_ids) - seen}
    return {f"recall_{name}@{budget}": recall(retrieved, part) if part else math.nan for name, part in parts.items()}


def theme_scores(answer: Answer, relevant: Set[int], k: int, budget: int) -> dict[str, float]:
    """theme_precision, theme_precision_all and theme_recall against the relevant pool rows of the query."""
    return {
        "theme_precision": theme_precision(answer.top_rows.tolist(), relevant, k),
        "theme_precision_all": theme_precision_all(answer.retrieved, relevant),
        "theme_recall": theme_recall(answer.retrieved, relevant, budget),
    }


def compare_answers(answers: Sequence[Answer], query_emb_BD: Array, item_emb_MD: Array) -> dict[str, Values]:
    """swap, identification and jaccard of each answer among the answers of all queries."""
    mean_top_BD = mean_rows([answer.top_rows for answer in answers], item_emb_MD)
    return {
        "swap": swap(mean_top_BD, query_emb_BD),
        "identification": identification(mean_top_BD, query_emb_BD),
        "jaccard": jaccard([answer.retrieved for answer in answers]),
    }


def score(bench: Bench, answer: Answer, query: Query, query_emb_D: Array) -> dict[str, float]:
    """Every measure of one answer, in the order of the tables.

    Recall and hit exist only for WSCR (weakly supervised compositional retrieval), because only WSCR has references.
    """
    covered = coverage_scores(answer, query, bench.index.ids, bench.k * bench.n) if bench.task == "wscr" else {}
    scores = covered | geometric_scores(answer, query_emb_D, bench.index, bench.k, bench.reward)
    if bench.specific is not None:
        scores["specific_reward"] = specific_score(bench.specific, answer, query, query_emb_D, bench)
    if bench.back_translation is not None:
        rewards_B = back_translation_scores(bench.back_translation, [answer], [query], bench)
        scores["back_translation_reward"] = float(rewards_B[0])
    return scores


def score_answers(
    bench: Bench,
    answers: Sequence[Answer],
    queries: Sequence[Query],
    query_emb_BD: Array,
    relevant: Sequence[Set[int]],
) -> dict[str, Values]:
    """Every measure of the answers to all held-out queries, in the order of the tables.

    Args:
        bench: The pool, the budget and the training references.
        answers: One answer per query.
        queries: The queries.
        query_emb_BD: Their unit embeddings.
        relevant: For OAR (open-ended abstract retrieval), the relevant pool rows of each query.

    Returns:
        Measure -> one number per query, shape (B,).
    """
    budget = bench.k * bench.n
    if bench.task == "oar":
        own = [theme_scores(answer, rows, bench.k, budget) for answer, rows in zip(answers, relevant, strict=True)]
    else:
        ids = bench.index.ids
        seen = {ids[row] for row in np.unique(np.concatenate([np.zeros(0, np.int64), *bench.train_references]))}
        own = [
            recall_by_novelty(answer, query, ids, budget, seen) for answer, query in zip(answers, queries, strict=True)
        ]
    if bench.back_translation is not None:  # one batch for all answers; `score` then finds them known
        back_translation_scores(bench.back_translation, answers, queries, bench)
    single = [score(bench, *one) for one in zip(answers, queries, query_emb_BD, strict=True)]
    return columns(own) | compare_answers(answers, query_emb_BD, bench.index.emb_MD) | columns(single)


def columns(rows: Sequence[Mapping[str, float]]) -> dict[str, Values]:
    """Measure -> its value in each row, shape (B,)."""
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in rows[0]}
