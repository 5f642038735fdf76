"""The answers that the warm start teaches. The modules ``wscr`` and ``oar`` build the answers of their task."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Literal

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import RECURRENT, load_queries, recurrence
from r4t_ray.encoders import query_embeddings
from r4t_ray.folm.policy.prompt import Example, PromptStyle, format_answer
from r4t_ray.folm.warm_start.kinds import kinds_answers
from r4t_ray.folm.warm_start.oar import oar_answers
from r4t_ray.folm.warm_start.settings import WarmStartConfig
from r4t_ray.folm.warm_start.wscr import wscr_answers
from r4t_ray.rewards import SpecificConfig
from r4t_ray.types import Task

_logger = logging.getLogger(__name__)


def warm_start_examples(
    task: Task,
    workspace: Workspace,
    config: WarmStartConfig,
    *,
    reward: SpecificConfig,
    k: int,
    num_hits: int,
    style: PromptStyle,
    render: Callable[[Task, str], str],
    seed: int,
) -> list[Example]:
    """Training examples of one task. Each pass over the training queries builds different answers.

    Args:
        task: The task whose training queries are answered.
        workspace: Holds the finished catalogue, encoder and index.
        config: How the answers are built.
        reward: Picks the answers of oar.
        k: Sub-queries of an answer.
        num_hits: Items that one sub-query retrieves.
        style: The style of the prompts.
        render: ``(task, query) -> prompt``.
        seed: Seeds the voters or candidates of each pass, and the recombined queries.

    Raises:
        DataError: No item is in ``config.min_sets`` training sets.
    """
    if task == "oar":
        answers = oar_answers(workspace, config, reward, k=k, style=style, seed=seed)
    else:
        answers = _wscr_answers(workspace, config, k=k, num_hits=num_hits, seed=seed)
    return [Example(render(task, text), format_answer(answer)) for text, answer in answers]


def _wscr_answers(
    workspace: Workspace, config: WarmStartConfig, *, k: int, num_hits: int, seed: int
) -> Iterator[tuple[str, list[str]]]:
    sets = load_queries(workspace, "wscr", "train")
    if wscr_teacher(config, workspace) == "kinds":
        return kinds_answers(workspace, config, sets, k=k, num_hits=num_hits, seed=seed)
    set_emb_BD = query_embeddings(workspace)(sets)
    return wscr_answers(workspace, config, sets, set_emb_BD, k=k, num_hits=num_hits, seed=seed)


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
