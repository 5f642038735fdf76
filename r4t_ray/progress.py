"""Progress of long work: a bar on a terminal, a log line every ten seconds elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")

LOG_EVERY_SECONDS = 10.0

_logger = logging.getLogger(__name__)


def track(iterable: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield from ``iterable`` and show the progress on stderr.

    Args:
        iterable: One element for each step of the work.
        description: A few words about the work.
        total: Number of elements. Default: ``len(iterable)``, or unknown if it has no length.
    """
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    if sys.stderr.isatty():
        return _bar(iterable, description, total)
    return _log_lines(iterable, description, total)


def _bar(iterable: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    from rich import progress as bars
    from rich.console import Console

    counts = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.MofNCompleteColumn())
    times = (bars.TimeElapsedColumn(), bars.TimeRemainingColumn())
    with bars.Progress(*counts, *times, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total)
        for element in iterable:
            yield element
            progress.advance(task)


def _log_lines(iterable: Iterable[T], description: str, total: int | None) -> Iterator[T]:
    started = logged = time.monotonic()
    done = 0
    for element in iterable:
        yield element
        done += 1
        now = time.monotonic()
        if now - logged >= LOG_EVERY_SECONDS:
            logged = now
            of_total = "" if total is None else f" of {total}"
            _logger.info("%s: %d%s, %.1f a second", description, done, of_total, done / (now - started))
    _logger.info("%s: %d done in %.1f s", description, done, time.monotonic() - started)
