"""The log of queries, for `catalogue.queries` and `r4t drift`: a JSON line for each answered query.

A line has ``query_id`` (unique), ``request_id`` (that of the reply), ``text``, ``task`` and ``time`` (UTC). It is
written in a thread after the answer was made, so that no disk slows or fails a request. The file is opened for each
line, so it may be moved away at any time, as logrotate does.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from r4t_ray.retrieval.response import RetrieveResponse

_logger = logging.getLogger(__name__)

MAX_WAITING = 10_000
"""Lines that wait for a slow disk. Further lines are lost."""


class QueryLog:
    """Appends answered queries to a file.

    Args:
        path: The file. Other processes may append to it at the same time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="query-log")
        self._room = threading.BoundedSemaphore(MAX_WAITING)
        self._is_failing = False

    def add(self, answer: RetrieveResponse) -> None:
        """Log the query of an answer. An answer to `like` alone has no query."""
        if answer.query is None:
            return
        fields = {
            "query_id": uuid.uuid4().hex,  # a client may repeat its request id
            "request_id": answer.request_id,
            "text": answer.query,
            "task": answer.task,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        if self._room.acquire(blocking=False):
            self._writer.submit(self._write, f"{json.dumps(fields)}\n".encode())
        else:
            self._note_failure("the disk is slower than the queries")

    def flush(self) -> None:
        """Wait until the lines of all earlier answers are written."""
        self._writer.submit(int).result()

    def _write(self, line: bytes) -> None:
        try:
            append_line(self._path, line)
            self._is_failing = False
        except OSError as error:
            self._note_failure(str(error))
        finally:
            self._room.release()

    def _note_failure(self, reason: str) -> None:
        if not self._is_failing:
            _logger.error("query log %s: lines are lost: %s", self._path, reason)
        self._is_failing = True


def append_line(path: Path, line: bytes) -> None:
    """Append the whole line, or nothing and raise OSError. A new file is readable by its owner alone."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        size = os.fstat(descriptor).st_size
        try:
            if os.write(descriptor, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        except OSError:
            os.ftruncate(descriptor, size)  # half a line would make the file unreadable
            raise
    finally:
        os.close(descriptor)
