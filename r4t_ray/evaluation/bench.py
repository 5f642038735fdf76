"""Method: one row of the tables. Bench: the pool, models and settings with which every method of a task answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

from r4t_ray.evaluation.method_answer import Answer, EncodeTexts
from r4t_ray.rewards import BackTranslationReward, OARConfig, SpecificReward
from r4t_ray.types import TASKS, Array, Rows, Task

if TYPE_CHECKING:
    from r4t_ray.catalogue import Query
    from r4t_ray.decoder import PoolDecoder
    from r4t_ray.diffusion import DiffusionRetriever, SolverName
    from r4t_ray.folm import FanOutModel
    from r4t_ray.index import ShardedIndex

T = TypeVar("T")

OAR_REWARDS = ("back_translation_reward", "specific_reward", "oar_reward")
"""Rewards of OAR (open-ended abstract retrieval) as measures. A run was trained on the first that it has."""

ModelFolder = Literal["folm/<task>/warm_start", "folm/<task>/model", "diffusion/<task>", "diffusion/<task>/student"]
"""Folder of a model below the workspace. ``<task>`` is replaced by the name of the task."""


@dataclass(frozen=True, kw_only=True)
class Fits:
    """What the methods of one task computed from the training and validation queries. All benches of a task share it.

    A method fits in its first call, which is the warm-up. Its measured time is therefore without the fit.

    Attributes:
        made: Name -> a fitted object, such as the matrix of a regression.
        tuned: Method -> the value of its one tuned setting.
    """

    made: dict[str, Any] = field(default_factory=dict)
    tuned: dict[str, float] = field(default_factory=dict)

    def get(self, name: str, make: Callable[[], T]) -> T:
        """The object of this name; the first call makes it."""
        if name not in self.made:
            self.made[name] = make()
        return cast(T, self.made[name])


@dataclass(frozen=True, kw_only=True)
class Bench:
    """One task's pool, training references and models, and the budget of k * n items that all methods share.

    Attributes:
        task: The task.
        index: The pool.
        k: Directions per query.
        n: Items per direction.
        train_emb_BD: Unit embeddings of the training queries.
        train_references: Pool rows of the reference set of each training query.
        val_queries: Validation queries. Methods tune their settings on them, never on held-out queries.
        val_emb_BD: Unit embeddings of the validation queries.
        fits: What the methods fitted and tuned.
        reward: Weights of the measure oar_reward, eq. 1 of arXiv 2603.06397.
        specific: The reward of OAR (open-ended abstract retrieval) that is about the query. None in the other task, and
            for a run that was trained on eq. 1. In a run that was trained on back-translation, methods that need many
            rewards per query take this one.
        back_translation: The reward of a language model, for a run that was trained on it.
        num_candidates: Methods that pick items one by one select from this many candidates.
        temperature: Sampling temperature of the language models.
        solver: Solver of the diffusion; None takes the stored solver.
        num_steps: Steps of the solver; None takes the stored number.
        guidance: Guidance strength; None takes the stored strength.
        encode: Embeds texts as unit rows.
        policy: Loads a fan-out language model. Only the language-model methods call it, so the other methods start no
            engine.
        retriever: Loads a diffusion retriever and caches it.
        decoder: Loads the item decoder of WSCR (weakly supervised compositional retrieval) and caches it.
    """

    task: Task
    index: ShardedIndex
    k: int
    n: int
    train_emb_BD: Array
    train_references: Sequence[Rows]
    val_queries: Sequence[Query]
    val_emb_BD: Array
    fits: Fits
    reward: OARConfig
    specific: SpecificReward | None
    num_candidates: int
    temperature: float
    solver: SolverName | None
    num_steps: int | None
    guidance: float | None
    encode: EncodeTexts
    policy: Callable[[ModelFolder], FanOutModel]
    retriever: Callable[[ModelFolder], DiffusionRetriever]
    decoder: Callable[[], PoolDecoder]
    back_translation: BackTranslationReward | None = None

    @property
    def main_measure(self) -> str:
        """The measure by which methods are tuned and chosen."""
        rewards = {"specific_reward": self.specific, "back_translation_reward": self.back_translation}
        measured = {"oar_reward"} | {name for name, reward in rewards.items() if reward is not None}
        return main_measure(self.task, self.k, self.n, measured)


def main_measure(task: Task, k: int, n: int, measured: Container[str]) -> str:
    """The measure that a task's model is trained to raise, by the names of the measures that the run has."""
    if task == "wscr":
        return f"recall@{k * n}"
    return next(name for name in OAR_REWARDS if name in measured)


class AnswerQueries(Protocol):
    """A function that answers queries. ``query_emb_BD`` holds the unit embeddings of their texts."""

    def __call__(self, bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> list[Answer]:
        """One answer per query, in order."""
        ...


class Generate(Protocol):
    """The generation step without embedding and search: from queries to sub-queries or to rows of embeddings."""

    def __call__(self, bench: Bench, queries: Sequence[Query], query_emb_BD: Array, seed: int) -> object:
        """The generated output of all queries."""
        ...


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row of the tables.

    Attributes:
        name: The name in metrics.json and in ``evaluation.methods``.
        answer: The function of the method. The report prints its docstring as the definition of the method.
        format: directions: k directions with n items each. items: one ranked list of k * n items.
        tasks: Tasks in whose tables the method appears.
        needs_references: Whether it reads the references of training queries. In OAR (open-ended abstract retrieval)
            only the queries of a log have some.
        model: The model that the method reads; None for a method that reads only the catalogue and its pools.
        generate: The step whose latency is measured; None if the method generates nothing or cannot be deployed.
    """

    name: str
    answer: AnswerQueries
    format: Literal["directions", "items"] = "directions"
    tasks: tuple[Task, ...] = TASKS
    needs_references: bool = False
    model: ModelFolder | None = None
    generate: Generate | None = None

    @property
    def stage(self) -> str | None:
        """The stage that trains the model; None without a model."""
        return None if self.model is None else self.model.partition("/")[0]

    @property
    def definition(self) -> str:
        """The docstring of ``answer`` as one line."""
        return " ".join((inspect.getdoc(self.answer) or "").split())
