"""What the generator needs of a request, what it makes of it, and the rows of the pool that may be found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from r4t_ray.diffusion import SOLVERS
from r4t_ray.errors import MachineError, RequestError
from r4t_ray.retrieval.filtering.filters import check_attributes
from r4t_ray.retrieval.open_task import OpenTask, Pool
from r4t_ray.retrieval.picking import Searching
from r4t_ray.retrieval.request import RetrieveRequest
from r4t_ray.types import Array, Fetch, Mask, Search, Task, TextKind


class Generated(NamedTuple):
    """What the generator makes of one request: the query's unit embedding (D,) and the directions z_LD, unit rows.

    ``timings_ms`` are the milliseconds of its batch by stage. ``sub_queries`` are the L texts of the directions, if a
    language model wrote them.
    """

    z_q_D: Array
    z_LD: Array
    timings_ms: Mapping[str, float] = MappingProxyType({})
    sub_queries: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """The part of a request that the generator needs. The steering terms ``like`` and ``avoid`` are texts, not ids.

    The generator makes ``k`` directions or more, or none if ``k`` is 0. A request without a query has its unit vector
    ``z_q_D`` instead. ``allowed_M`` has the rows of the pool that a ranked solver picks first; None is all rows.
    The directions of a request with ``sub_queries`` are their embeddings, and none is generated.
    """

    task: Task
    query: str | None
    seed: int
    temperature: float = 1.0
    guidance: float | None = None
    strength: float = 0.0
    like: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    k: int = 1
    z_q_D: Array | None = field(default=None, compare=False)
    allowed_M: Mask | None = field(default=None, compare=False)
    sub_queries: tuple[str, ...] = ()

    @property
    def texts(self) -> list[str]:
        """The texts to encode: the query if there is one, then ``like``, ``avoid`` and ``sub_queries``."""
        return [*(() if self.query is None else (self.query,)), *self.like, *self.avoid, *self.sub_queries]

    @property
    def kinds(self) -> list[TextKind]:
        """The kinds of ``texts``. Terms are embedded as the entries of the pool are."""
        terms: list[TextKind] = ["document"] * (len(self.like) + len(self.avoid))
        terms += ["query"] * len(self.sub_queries)
        return terms if self.query is None else ["query", *terms]

    @property
    def is_plain(self) -> bool:
        """Whether the request leaves generation as it is: temperature 1 and no steering terms with a strength."""
        return self.temperature == 1.0 and not (self.strength and (self.like or self.avoid))


def prepare(request: RetrieveRequest, opened: OpenTask) -> Searching[GenerationRequest]:
    """``generation_request``, with the vector of a request that has no query: the mean of the entries that it names.

    Raises:
        RequestError: As ``generation_request``, or the mean is 0.
        MachineError: The shard of an entry is down.
    """
    generation = generation_request(request, opened)
    if request.query is not None:
        return generation
    vectors_KD = yield opened.task, Fetch(rows=np.array(named_rows(request.like, opened.pool)))
    if not vectors_KD.any(axis=1).all():
        raise MachineError("like", "no shard with an entry that it names", "every entry of like", "try again")
    mean_D = vectors_KD.mean(axis=0)
    length = float(np.linalg.norm(mean_D))
    if length < 1e-6:
        raise RequestError("like", "entries whose mean embedding is 0", "entries that have a mean", "name other ids")
    return replace(generation, z_q_D=(mean_D / length).astype(np.float32))


def generation_request(request: RetrieveRequest, opened: OpenTask) -> GenerationRequest:
    """Check a request against the models of its task, and put its steering terms into words.

    Raises:
        RequestError: ``k`` exceeds what the model can generate, ``guidance`` is set for a solver that ignores it, the
            catalogue lacks an attribute that the filter or the cap names, or the request has neither a query nor an
            id of the catalogue in ``like``.
    """
    check_k(request.k, opened.model.num_rows)
    if request.filter or request.max_per:
        attributes = opened.attributes
        known, are_items = (attributes.items.names, attributes.are_items) if attributes else ((), False)
        check_attributes(request.filter, request.max_per, known, are_items)
    if request.guidance is not None and not SOLVERS[opened.model.solver].is_guided:
        raise RequestError(
            "guidance",
            str(request.guidance),
            f"none: the solver {opened.model.solver} takes no guidance",
            "leave it out, or set a solver that takes guidance: serve.solver: dpmpp_2m, serve.num_steps: 4",
        )
    return GenerationRequest(
        task=opened.task,
        query=request.query,
        seed=request.seed,
        temperature=request.temperature,
        guidance=request.guidance,
        strength=request.strength,
        like=in_words(pulling_terms(request, opened), opened),
        avoid=in_words(request.avoid, opened),
        k=num_generated(request, opened.model.num_rows),
        allowed_M=allowed_directions(request, opened),
    )


def pulling_terms(request: RetrieveRequest, opened: OpenTask) -> tuple[str, ...]:
    """The terms of ``like`` that pull. Without a query the ids of the pool are the query, and the other terms pull.

    Raises:
        RequestError: The request has neither a query nor an id of the pool.
    """
    if request.query is not None:
        return request.like
    words = tuple(term for term in request.like if term not in opened.pool.row_of)
    if len(words) == len(request.like):
        for term, task in ((term, task) for term in words for task in opened.others):
            if term in opened.others[task].row_of:
                expected = f"a query, or ids of entries of task {opened.task} in like"
                raise RequestError(
                    "query",
                    f"nothing, and {term!r} in like is an entry of task {task}",
                    expected,
                    f"set task to {task}",
                )
        got = f"nothing, and no id of the catalogue in like ({', '.join(words)!r:.80})"
        raise RequestError("query", got, "a query, or ids of the catalogue in like", "add a query")
    return words


def allowed_directions(request: RetrieveRequest, opened: OpenTask) -> Mask | None:
    """The rows of the pool that directions may be, (M,). None if all may, or if no direction of the solver is an entry.

    Live changes leave no row out: the row that an upsert replaced still leads to the entry that took its place.
    """
    if request.method != "diffusion" or opened.decoder is not None or not SOLVERS[opened.model.solver].is_ranked:
        return None
    allowed_M = passing_rows(request, opened)
    excluded = excluded_rows(request, opened.pool)
    if excluded:
        allowed_M = np.ones(len(opened.pool.ids), dtype=bool) if allowed_M is None else allowed_M.copy()
        allowed_M[list(excluded)] = False
    return allowed_M


def num_generated(request: RetrieveRequest, num_rows: int) -> int:
    """Directions to generate. If few entries may be found, several directions lead to the same one, so all are made."""
    if request.method != "diffusion":
        return 0
    return num_rows if request.filter or request.min_relevance else request.k


def check_k(k: int, num_rows: int) -> None:
    """Raise RequestError if ``k`` is larger than ``num_rows``, the most directions that the model generates."""
    if k > num_rows:
        raise RequestError("k", str(k), f"1 to {num_rows}, the most directions this model generates", "ask for fewer")


def in_words(terms: Sequence[str], opened: OpenTask) -> tuple[str, ...]:
    """The text of each term that is an id of a served pool; other terms stay as they are."""
    return tuple(opened.text_of(term) for term in terms)


def allowed_rows(request: RetrieveRequest, opened: OpenTask, z_q_D: Array) -> Searching[Mask | None]:
    """The rows of the pool that pass the request's filter and ``min_relevance``. None is all rows.

    Rows that live changes replaced or deleted never pass, nor do sets that hold an item whose id is in ``avoid``.
    """
    passing_M = passing_rows(request, opened)
    if opened.alive_M is not None:
        passing_M = both(passing_M, opened.alive_M)
    if not request.min_relevance:
        return passing_M
    num_left_out = min(math.floor(opened.size * request.min_relevance / 100), opened.size - 1)
    wanted = Search(z_LD=z_q_D[None], num_hits=opened.size - num_left_out, where=opened.alive_M)
    _, rows_1K = yield opened.task, wanted
    relevant_M = np.zeros(len(opened.pool.ids), dtype=bool)
    relevant_M[rows_1K[rows_1K >= 0]] = True
    return both(passing_M, relevant_M)


def passing_rows(request: RetrieveRequest, opened: OpenTask) -> Mask | None:
    """The rows of the pool that pass the filter and hold no item of ``avoid``, dead rows too, (M,). None is all."""
    passing_M: Mask | None = None
    if request.filter is not None:
        assert opened.attributes is not None, "generation_request refuses a filter without attributes"
        passing_M = both(passing_M, opened.attributes.passing(request.filter))
    avoided = [term for term in request.avoid if any(term in pool.row_of for pool in opened.others.values())]
    if avoided and opened.attributes is not None and not opened.attributes.are_items:
        passing_M = both(passing_M, ~opened.attributes.holding(avoided))
    return passing_M


def excluded_rows(request: RetrieveRequest, pool: Pool) -> tuple[int, ...]:
    """The rows of the entries that the request avoids, or completes, by their ids."""
    return named_rows((*request.avoid, *(request.like if request.query is None else ())), pool)


def named_rows(terms: Sequence[str], pool: Pool) -> tuple[int, ...]:
    """The pool row of each term that is an id of the pool."""
    return tuple(pool.row_of[term] for term in terms if term in pool.row_of)


def both(left_M: Mask | None, right_M: Mask) -> Mask:
    """The rows that both masks have; None has all rows."""
    return right_M if left_M is None else left_M & right_M
