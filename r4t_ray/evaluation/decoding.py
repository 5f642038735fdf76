"""From the directions of a method's queries to answers, as retrieval makes them: k directions, or one ranked list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.evaluation.method_answer import NO_ROW, Answer, answers_of_directions, empty_answer, round_robin_answer
from r4t_ray.retrieval.picking import Picked, pick_by_cosine, pick_by_score, run
from r4t_ray.types import Array, Hits, IndexName, Rows, Search

if TYPE_CHECKING:
    from r4t_ray.evaluation.bench import Bench


def direction_answers(bench: Bench, query_emb_BD: Array, directions: Sequence[Array]) -> list[Answer]:
    """K directions with n items each. oar: the nearest items of each direction. wscr: the decoder's items.

    Args:
        bench: The pool, the decoder and the budget.
        query_emb_BD: Unit embeddings of the queries.
        directions: One array of shape (k', D) per query, k' <= k.
    """
    if bench.task == "oar":
        return answers_of_directions(bench.index, directions, bench.n)
    answers = []
    for z_q_D, z_kD in zip(query_emb_BD, directions, strict=True):
        lists = decoded(bench, z_q_D, z_kD, n=bench.n).lists if len(z_kD) else ()
        hits_kn = np.full((len(z_kD), bench.n), NO_ROW, dtype=np.int64)
        for direction, (rows, _) in enumerate(lists):
            hits_kn[direction, : len(rows)] = rows
        answers.append(Answer(directions_kD=z_kD, hits_kn=hits_kn))
    return answers


def list_answers(bench: Bench, query_emb_BD: Array, directions: Sequence[Array]) -> list[Answer]:
    """One ranked list of k * n items. oar: the largest cosines to a direction. wscr: the decoder's largest scores.

    The items are distributed round-robin over k directions. The directions are the embeddings of the first k items.
    """
    item_emb_MD = bench.index.emb_MD
    return [
        round_robin_answer(list_rows(bench, z_q_D, z_kD), item_emb_MD, bench.k, bench.n)
        if len(z_kD)
        else empty_answer(item_emb_MD.shape[1], bench.n)
        for z_q_D, z_kD in zip(query_emb_BD, directions, strict=True)
    ]


def list_rows(bench: Bench, z_q_D: Array, z_kD: Array) -> Rows:
    """The pool rows of a ranked list, best first."""
    if bench.task == "wscr":
        return decoded(bench, z_q_D, z_kD).rows_K
    budget = bench.k * bench.n
    return pick_by_cosine(bench.index.search(z_kD, min(budget, len(bench.index.ids))), budget).rows_K


def decoded(bench: Bench, z_q_D: Array, z_kD: Array, n: int | None = None) -> Picked:
    """The k * n items with the largest scores of the decoder; see ``pick_by_score``."""
    from r4t_ray.index import search_shards  # loads FAISS

    pool = bench.decoder()

    def search(name: IndexName, wanted: Search) -> Hits:
        return search_shards(pool.shards if name == "decoder" else bench.index.shards, wanted)

    return run(pick_by_score(pool.decoder, z_q_D, Search(z_LD=z_kD, num_hits=bench.k * bench.n), n=n), search)
