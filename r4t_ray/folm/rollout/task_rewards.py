"""The rewards of a rollout actor: it embeds and searches the policy's sub-queries, then the task's rubric scores them.

OAR (open-ended abstract retrieval) searches collections. WSCR (weakly supervised compositional retrieval) searches the
items of a set.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import RECURRENT, Query, load_items, load_queries, load_sets, recurrence
from r4t_ray.encoders import CachedEncoder, load_encoder, query_embeddings
from r4t_ray.folm.policy.model import SubQueries
from r4t_ray.folm.policy.prompt import parse_fan_out, preamble_chars
from r4t_ray.folm.rollout.query_scorer import QueryScorer
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.folm.specific import open_specific
from r4t_ray.index import ShardedIndex, load_index
from r4t_ray.rewards import (
    Answers,
    BackTranslationConfig,
    BackTranslationReward,
    CoverageConfig,
    OARConfig,
    PoolEntry,
    QueryLogProbs,
    Retrieved,
    RewardOutput,
    Rubric,
    ScoreQueries,
    SpecificConfig,
    SpecificReward,
    build_added,
    oar_rubric,
    wscr_rubric,
)
from r4t_ray.rewards.coverage import ExpectedItems, expected_items, membership
from r4t_ray.types import TASKS, Array, Task


class EncodesTexts(Protocol):
    """Anything that embeds texts as unit rows."""

    def encode(self, texts: Sequence[str]) -> Array:
        """One row for each text."""
        ...


class TaskRewards:
    """Scores answers of every task. A rollout actor opens it once.

    Attributes:
        encoder: Caches the embeddings of texts.
        indexes: The pool of each task.
        rubrics: The rubric of each task. RL maximises its total.
    """

    def __init__(self, workspace: Workspace, config: FolmConfig) -> None:
        self._k, self._num_hits = config.k, config.num_hits
        self.encoder = CachedEncoder(load_encoder(workspace.artifact("encoder").path / "model"))
        self.indexes = {task: load_index(workspace, task) for task in TASKS}
        self.rubrics = {task: open_rubric(task, workspace, config, self.indexes[task].ids) for task in config.tasks}
        self._row_of = {name: row for row, name in enumerate(self.indexes["wscr"].ids)}
        self._pool = {
            task: pool_entries(task, workspace, self.indexes[task].ids)
            for task in config.tasks
            if config.added_rewards[task]
        }

    def score(
        self,
        task: Task,
        queries: Sequence[Query],
        sub_queries: Sequence[SubQueries],
        encoder: EncodesTexts | None = None,
        rubric: Rubric | None = None,
    ) -> tuple[Retrieved, RewardOutput]:
        """Embed and search sub-queries, then score the answers.

        Args:
            task: Selects the pool and the rubric.
            queries: The query of each answer.
            sub_queries: B answers; None marks an answer that could not be parsed.
            encoder: Embeds the sub-queries. None takes the encoder of the catalogue.
            rubric: Scores the answers. None takes the rubric of the task.

        Returns:
            The embeddings and hits, and the rewards.

        Raises:
            RewardError: No answer could be scored.
        """
        text_of = {query.query_id: query.text for query in queries}
        row_of = {query_id: row for row, query_id in enumerate(text_of)}
        query_emb_QD = self.encoder.encode(list(text_of.values()))
        query_emb_BD = query_emb_QD[[row_of[query.query_id] for query in queries]]
        retrieved = retrieve(
            encoder or self.encoder, self.indexes[task], query_emb_BD, sub_queries, k=self._k, num_hits=self._num_hits
        )
        answers = Answers(
            query_ids=[query.query_id for query in queries],
            queries=[query.text for query in queries],
            sub_queries=sub_queries,
            retrieved=retrieved,
            references=[
                {self._row_of[name] for name in query.item_ids} if task == "wscr" else frozenset() for query in queries
            ],
            pool=self._pool.get(task, ()),
        )
        return retrieved, (rubric or self.rubrics[task]).score(answers)


def score_texts(
    rewards: TaskRewards, queries: Sequence[Query], texts: Sequence[str], config: FolmConfig
) -> RewardOutput:
    """Parse and score the texts of B completions.

    The breakdown gets one more component, "preamble_chars".

    Args:
        rewards: Scores the parsed answers.
        queries: The query of each completion, all of one task.
        texts: The completions.
        config: The settings of the model that wrote them.
    """
    task = queries[0].task
    answers = [
        parse_fan_out(text, config.k, task=task, query=query.text, style=config.prompt_style)
        for query, text in zip(queries, texts, strict=True)
    ]
    _, output = rewards.score(task, queries, answers)
    preamble_B = np.array([preamble_chars(text) for text in texts], np.float32)
    return replace(output, breakdown={**output.breakdown, "preamble_chars": preamble_B})


def retrieve(
    encoder: EncodesTexts,
    index: ShardedIndex,
    query_emb_BD: Array,
    sub_queries: Sequence[SubQueries],
    *,
    k: int,
    num_hits: int,
) -> Retrieved:
    """Embed and search the first k sub-queries of every answer in one call. Each distinct text is searched once.

    Args:
        encoder: Embeds the sub-queries.
        index: The pool.
        query_emb_BD: Unit rows, the query of each answer.
        sub_queries: B answers; None marks an answer that could not be parsed.
        k: Directions of an answer.
        num_hits: Hits of each direction, clipped to the size of the pool.
    """
    size, num_hits = (len(sub_queries), k), min(num_hits, index.size)
    sub_emb_BkD = np.zeros((*size, query_emb_BD.shape[1]), np.float32)
    nearest_emb_BkD = np.zeros_like(sub_emb_BkD)
    nearest_cos_Bk = np.full(size, np.nan, np.float32)
    hit_rows_BkK = np.full((*size, num_hits), -1, np.int64)
    places = [(b, i) for b, texts in enumerate(sub_queries) for i in range(len((texts or ())[:k]))]
    if places:
        at = tuple(np.array(places).T)
        texts_N = [(sub_queries[b] or ())[i] for b, i in places]
        sub_emb_BkD[at] = sub_emb_ND = encoder.encode(texts_N)
        # A text that several answers share is searched once.
        number = {text: u for u, text in enumerate(dict.fromkeys(texts_N))}
        owner_N = [number[text] for text in texts_N]
        first_U = np.unique(owner_N, return_index=True)[1]
        cos_UK, rows_UK = index.search(sub_emb_ND[first_U], num_hits)
        hit_rows_BkK[at], nearest_cos_Bk[at] = rows_UK[owner_N], cos_UK[owner_N, 0]
        nearest_emb_BkD[at] = index.emb_MD[rows_UK[owner_N, 0]]
    return Retrieved(
        query_emb_BD=query_emb_BD,
        sub_emb_BkD=sub_emb_BkD,
        nearest_cos_Bk=nearest_cos_Bk,
        nearest_emb_BkD=nearest_emb_BkD,
        hit_rows_BkK=hit_rows_BkK,
    )


def answer_form(answers: Answers) -> dict[str, Array]:
    """Two components that are only logged, (B,) each.

    "parsed" is 1 if the answer could be parsed. "distinct" is the number of different sub-queries divided by k.
    """
    k = answers.retrieved.sub_emb_BkD.shape[1]
    return {
        "parsed": np.array([texts is not None for texts in answers.sub_queries], np.float32),
        "distinct": np.array([len(set(texts or ())) / k for texts in answers.sub_queries], np.float32),
    }


def open_rubric(
    task: Task,
    workspace: Workspace,
    config: FolmConfig,
    pool_ids: Sequence[str],
    scorer: Callable[[BackTranslationConfig], ScoreQueries] = QueryScorer,
) -> Rubric:
    """The rubric of one task for one rollout actor. ``scorer`` opens the language model of back-translation."""
    reward = config.reward
    back_translation = partial(open_back_translation, task, workspace, pool_ids, scorer=scorer)
    added = build_added(config.added_rewards[task], 1 / config.rollout.num, back_translation)
    if task == "oar":
        own: OARConfig | SpecificReward | BackTranslationReward
        match reward.oar:
            case SpecificConfig():
                own = open_specific(workspace, reward.oar)
            case BackTranslationConfig():
                own = back_translation(reward.oar)
            case _:
                own = reward.oar
        return oar_rubric(own, logged=[answer_form], added=added)
    coverage, expected = wscr_reward(workspace, config), None
    if coverage.expected_share:
        expected = open_similar_sets(workspace, pool_ids, coverage.temperature)
    return wscr_rubric(coverage, expected, logged=[answer_form], added=added)


def wscr_reward(workspace: Workspace, config: FolmConfig) -> CoverageConfig:
    """The WSCR reward, with the share of expected coverage that fits the catalogue if the settings name none."""
    return config.reward.wscr.for_catalogue(recurrence(load_queries(workspace, "wscr")) >= RECURRENT)


def open_back_translation(
    task: Task,
    workspace: Workspace,
    pool_ids: Sequence[str],
    config: BackTranslationConfig,
    scorer: Callable[[BackTranslationConfig], ScoreQueries] = QueryScorer,
) -> BackTranslationReward:
    """The reward of a language model that reads the query back from the found entries of a task's pool.

    The model is loaded by the first call.
    """
    texts = [entry.text for entry in pool_entries(task, workspace, pool_ids)]
    return BackTranslationReward(config, scorer(config), texts)


def no_scorer(config: BackTranslationConfig) -> ScoreQueries:
    """A scorer without a language model: every log-probability, and so every reward, is NaN."""
    return lambda prompts, queries: QueryLogProbs(
        np.full(len(queries), np.nan, np.float32), np.ones(len(queries), np.float32)
    )


def open_similar_sets(workspace: Workspace, pool_ids: Sequence[str], temperature: float) -> ExpectedItems:
    """A function that estimates the expected items of WSCR queries from the training sets.

    A query's own set does not vote on it.

    Args:
        workspace: Holds the finished catalogue and encoder stages.
        pool_ids: The items of the WSCR pool, in the order of its rows.
        temperature: As in ``expected_items``.
    """
    sets = load_queries(workspace, "wscr", "train")
    set_ids_V = np.array([query.query_id for query in sets])
    set_emb_VD = query_embeddings(workspace)(sets)
    member_VM = membership([query.item_ids for query in sets], pool_ids)

    def score(query_ids: Sequence[str], query_emb_QD: Array) -> Array:
        votes_QV = np.array(query_ids)[:, None] != set_ids_V[None]
        return expected_items(query_emb_QD, set_emb_VD, member_VM, temperature, votes_QV)

    return score


def pool_entries(task: Task, workspace: Workspace, pool_ids: Sequence[str]) -> list[PoolEntry]:
    """Text and attributes of each row of a task's pool: items for WSCR, titles of collections for OAR."""
    if task == "wscr":
        entries = {
            item.item_id: PoolEntry(text=item.text, attributes=item.attributes) for item in load_items(workspace)
        }
    else:
        entries = {each.set_id: PoolEntry(text=each.title, attributes={}) for each in load_sets(workspace)}
    return [entries[name] for name in pool_ids]
