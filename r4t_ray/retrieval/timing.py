"""Where the time of a request goes, and its deadline."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from r4t_ray.errors import DeadlineError
from r4t_ray.retrieval.response import RetrieveResponse, Shards

T = TypeVar("T")


class Clock:
    """The milliseconds of one request by stage.

    Args:
        limit_s: Seconds after which the request is late. None sets no limit.
    """

    def __init__(self, limit_s: float | None = None) -> None:
        self._started, self._limit_s = time.perf_counter(), limit_s
        self._stages_ms: dict[str, float] = {}

    @property
    def left_s(self) -> float | None:
        """Seconds until the deadline, or None without one."""
        return None if self._limit_s is None else self._limit_s - (time.perf_counter() - self._started)

    def check(self) -> None:
        """Raise DeadlineError if the deadline has passed."""
        if self.left_s is not None and self.left_s <= 0:
            raise DeadlineError(
                "timeout_ms",
                f"no answer in {self._limit_s:g} s",
                "an answer in time",
                "ask again, with a larger timeout_ms or for fewer items",
            )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        before = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, 1e3 * (time.perf_counter() - before))

    def timed(self, name: str, call: Callable[..., T]) -> Callable[..., T]:
        """The function, with its time added to a stage, and the deadline checked before each call."""

        def run(*arguments: object) -> T:
            self.check()
            with self.stage(name):
                return call(*arguments)

        return run

    def generated(self, timings_ms: Mapping[str, float]) -> None:
        """Take the generator's own times out of the stage wait, in which its call was counted."""
        for name, milliseconds in timings_ms.items():
            self.add(name, milliseconds)
            self.add("wait", -milliseconds)

    def stamp(self, answer: RetrieveResponse, shards: Shards, request_id: str | None = None) -> RetrieveResponse:
        """The answer with what is known at its end."""
        self.check()
        total = 1e3 * (time.perf_counter() - self._started)
        stages = {**self._stages_ms, "rest": total - sum(self._stages_ms.values()), "total": total}
        return answer.model_copy(
            update={
                "request_id": request_id or uuid.uuid4().hex,
                "partial": shards.ok < shards.total,
                "shards": shards,
                "timings_ms": {name: round(max(0.0, milliseconds), 3) for name, milliseconds in stages.items()},
            }
        )

    def add(self, name: str, milliseconds: float) -> None:
        """Add to a stage."""
        self._stages_ms[name] = self._stages_ms.get(name, 0.0) + milliseconds


def limit_of(timeout_ms: int | None, deadline_s: float | None = None) -> float | None:
    """Seconds of a request: its own timeout, and at most the deadline of the server."""
    limits = [limit for limit in (deadline_s, timeout_ms and timeout_ms / 1e3) if limit is not None]
    return min(limits) if limits else None
