"""The answers that the warm start teaches. The modules ``wscr`` and ``oar`` build the answers of their task."""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Literal

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import RECURRENT, Query, load_queries, load_sets, recurrence
from r4t_ray.catalogue.queries.splits import normalise_title, split_of
from r4t_ray.encoders import load_embeddings
from r4t_ray.folm.policy.prompt import Example, format_answer
from r4t_ray.folm.warm_start.kinds import kinds_answers
from r4t_ray.folm.warm_start.oar import oar_answers
from r4t_ray.folm.warm_start.settings import WarmStartConfig
from r4t_ray.folm.warm_start.wscr import wscr_answers
from r4t_ray.types import Array, Task

MOST_TITLES = 20_000
"""Titles that the answers to OAR are drawn from where no set is a query. Each theme is compared with all of them."""

_logger = logging.getLogger(__name__)


def warm_start_examples(
    task: Task,
    workspace: Workspace,
    config: WarmStartConfig,
    *,
    k: int,
    num_hits: int,
    render: Callable[[Task, str], str],
    seed: int,
) -> list[Example]:
    """Training examples of one task. Each pass over the training queries builds different answers.

    Args:
        task: The task whose training queries are answered.
        workspace: Holds the finished catalogue, encoder and index.
        config: How the answers are built.
        k: Sub-queries of an answer.
        num_hits: Items that one sub-query retrieves.
        render: ``(task, query) -> prompt``.
        seed: Seeds the voters of each pass, the recombined queries and the drawn titles.

    Raises:
        DataError: No item is in ``config.min_sets`` training sets.
    """
    ids, emb_MD = load_embeddings(workspace, "queries")
    row_of = {name: row for row, name in enumerate(ids)}
    sets, themes = load_queries(workspace, "wscr", "train"), load_queries(workspace, "oar", "train")
    set_emb_BD, theme_emb_BD = (emb_MD[[row_of[query.query_id] for query in queries]] for queries in (sets, themes))
    if task == "oar" and not sets:
        sets, set_emb_BD = titles_of_sets(workspace, seed)
    if task == "oar":
        answers = oar_answers(config, themes, theme_emb_BD, sets, set_emb_BD, k=k, seed=seed)
    elif wscr_teacher(config, workspace) == "kinds":
        answers = kinds_answers(workspace, config, sets, k=k, num_hits=num_hits, seed=seed)
    else:
        answers = wscr_answers(workspace, config, sets, set_emb_BD, k=k, num_hits=num_hits, seed=seed)
    return [Example(render(task, text), format_answer(answer)) for text, answer in answers]


def titles_of_sets(workspace: Workspace, seed: int) -> tuple[list[Query], Array]:
    """Titles that answer OAR (open-ended abstract retrieval) where no set is a WSCR query, and their embeddings.

    These are the sets whose titles are for training, or all if there is none; at most MOST_TITLES, drawn by the seed.
    """
    ids, emb_MD = load_embeddings(workspace, "sets")
    titles = {row.set_id: row.title for row in load_sets(workspace)}
    training = [row for row, name in enumerate(ids) if split_of(normalise_title(titles[name])) == "train"]
    rows = training or list(range(len(ids)))
    if len(rows) > MOST_TITLES:
        rows = sorted(random.Random(seed).sample(rows, MOST_TITLES))
    queries = [Query(query_id=ids[row], task="oar", text=titles[ids[row]], item_ids=(), split="train") for row in rows]
    return queries, emb_MD[rows]


def wscr_teacher(config: WarmStartConfig, workspace: Workspace) -> Literal["votes", "kinds"]:
    """The teacher of WSCR (weakly supervised compositional retrieval): the setting, or what fits the catalogue."""
    if config.teacher != "auto":
        return config.teacher
    share = recurrence(load_queries(workspace, "wscr"))
    chosen: Literal["votes", "kinds"] = "votes" if share >= RECURRENT else "kinds"
    _logger.info(
        "wscr: teacher %s, because training sets hold %.0f%% of a validation set's items (votes from %.0f%% on)",
        chosen, 100 * share, 100 * RECURRENT,
    )  # fmt: skip
    return chosen
