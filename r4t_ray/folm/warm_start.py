"""What the warm start teaches: answers built from the training sets for the coverage and the themes that RL rewards."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

import numpy as np
from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query, load_items, load_queries
from r4t_ray.config import Settings
from r4t_ray.encoders import load_embeddings
from r4t_ray.errors import DataError
from r4t_ray.folm.answers import expected_items, greedy_cover, membership
from r4t_ray.folm.prompt import Example, format_answer
from r4t_ray.folm.supervised import SupervisedConfig
from r4t_ray.index import load_index
from r4t_ray.types import Array, Task


class WarmStartConfig(Settings):
    """Supervised training on the training sets before RL, so many passes over each task's queries; 0 and 0 skip it.

    ``temperature`` is that of ``expected_items``; ``own_weight`` what membership in the set itself adds to it;
    ``voter_share`` the share of training sets that vote in one pass; ``min_sets`` how many sets an item must be in
    to be named in an answer.
    """

    wscr_passes: NonNegativeInt = 1
    oar_passes: NonNegativeInt = 1
    temperature: PositiveFloat = 0.05
    own_weight: NonNegativeFloat = 0.3
    voter_share: float = Field(0.5, gt=0.0, le=1.0)
    min_sets: PositiveInt = 2
    training: SupervisedConfig = SupervisedConfig()


def warm_start_examples(
    workspace: Workspace, config: WarmStartConfig, k: int, num_hits: int, render: Callable[[Task, str], str], seed: int
) -> list[Example]:
    """Answers that the training sets spell out, a different one in each pass over a task's training queries.

    Args:
        workspace: Holds the finished ingest, embed and index stages.
        config: How the answers are built.
        k: Sub-queries an answer.
        num_hits: Items that one sub-query retrieves.
        render: (task, query) to prompt.
        seed: Decides who votes and what is drawn.
    """
    ids, emb_MD = load_embeddings(workspace, "queries")
    row_of = {name: row for row, name in enumerate(ids)}
    wscr, oar = load_queries(workspace, "wscr", "train"), load_queries(workspace, "oar", "train")
    wscr_emb_BD = emb_MD[[row_of[query.query_id] for query in wscr]]
    oar_emb_BD = emb_MD[[row_of[query.query_id] for query in oar]]
    answers = [
        *_wscr_answers(workspace, config, wscr, wscr_emb_BD, (k, num_hits), seed),
        *_oar_answers(config, oar, oar_emb_BD, wscr, wscr_emb_BD, k, seed),
    ]
    return [Example(render(query.task, query.text), format_answer(answer)) for query, answer in answers]


def _wscr_answers(
    workspace: Workspace, config: WarmStartConfig, queries: list[Query], emb_BD: Array, size: tuple[int, int], seed: int
) -> Iterator[tuple[Query, list[str]]]:
    """Item names whose hits cover what the set holds and what similar sets hold, in alphabetical order.

    One order for each answer: a small model then spends nothing on the order, and seldom names an item twice.
    """
    k, num_hits = size
    index = load_index(workspace, "wscr")
    text_of = {item.item_id: item.text for item in load_items(workspace)}
    member_BM = membership([query.item_ids for query in queries], index.ids)
    named = np.flatnonzero(member_BM.sum(axis=0) >= config.min_sets)
    if not len(named):
        raise DataError(
            "the training sets",
            f"no item that is in {config.min_sets} of them",
            "some that recur",
            "lower folm.warm_start.min_sets",
        )
    _, hits_CK = index.search(index.emb_MD[named], num_hits)
    rng = np.random.default_rng(seed)
    for _ in range(config.wscr_passes):
        voters_B = rng.random(len(queries)) < config.voter_share
        score_BM = expected_items(emb_BD, member_BM, config.temperature, voters_B) + config.own_weight * member_BM
        for query, score_M in zip(queries, score_BM, strict=True):
            yield query, sorted(text_of[index.ids[named[pick]]] for pick in greedy_cover(score_M, hits_CK, k))


def _oar_answers(
    config: WarmStartConfig,
    themes: list[Query],
    theme_emb_BD: Array,
    sets: list[Query],
    set_emb_MD: Array,
    k: int,
    seed: int,
) -> Iterator[tuple[Query, list[str]]]:
    """Draw k titles of the 2k training sets nearest to the theme."""
    rng = random.Random(seed)
    nearest_BK = np.argsort(-(theme_emb_BD @ set_emb_MD.T), axis=1)[:, : 2 * k]
    for _ in range(config.oar_passes):
        for query, nearest_K in zip(themes, nearest_BK, strict=True):
            titles = dict.fromkeys(sets[row].text.lower() for row in rng.sample(nearest_K.tolist(), len(nearest_K)))
            yield query, list(titles)[:k]
