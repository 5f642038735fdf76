"""The one answer that scores best on the training queries, the same for every query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from r4t_ray.evaluation.bench import Bench, Method
from r4t_ray.evaluation.method_answer import Answer, answers_of_directions
from r4t_ray.evaluation.methods.greedy_reward import greedy_picks
from r4t_ray.evaluation.methods.soft_sets import greedy_cover, item_neighbours, training_members
from r4t_ray.rewards.greedy import greedy_specific
from r4t_ray.types import Array, Rows

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query


def answer(bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
    """The k directions that score best on the training queries on average, the same for every query.

    They are items, picked one by one. In oar (open-ended abstract retrieval) each pick raises the mean reward over the
    training queries most (the specific reward, if the run was trained on back-translation). In wscr (weakly supervised
    compositional retrieval) each pick's n nearest items add most to the mean recall of the training references. Each
    direction retrieves its n nearest items. A method that does not beat this row does not answer the query.
    """
    return [bench.fits.get("constant", lambda: best_on_training(bench))] * len(queries)


def best_on_training(bench: Bench) -> Answer:
    """The constant answer of the task."""
    rows = oar_rows(bench) if bench.task == "oar" else wscr_rows(bench)
    return answers_of_directions(bench.index, [bench.index.emb_MD[rows]], bench.n)[0]


def oar_rows(bench: Bench) -> Rows:
    """Greedy maximisation of the mean OAR reward over the training queries.

    Of a constant answer, only the alignment (eq. 1) or the nearness differs between queries, and the reward is linear
    in it. So the mean reward is the reward under the mean alignment or nearness. The candidates are all items.
    """
    emb_MD = bench.index.emb_MD
    if bench.specific is None:
        return greedy_picks(emb_MD, bench.train_emb_BD.mean(axis=0), bench.k, bench.reward)
    return greedy_specific(emb_MD, bench.specific.mean_nearness(emb_MD), bench.k, bench.specific.config.gamma)


def wscr_rows(bench: Bench) -> Rows:
    """Greedy maximisation of the mean recall of the training references.

    A retrieved item adds 1 / (size of the reference) to the recall of every reference that contains it.
    """
    sizes_S = np.array([max(len(np.unique(reference)), 1) for reference in bench.train_references])
    return greedy_cover(training_members(bench).sums(1.0 / sizes_S), item_neighbours(bench), bench.k)


CONSTANT = Method(name="constant", answer=answer)
