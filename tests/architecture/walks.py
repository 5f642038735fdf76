"""Counts the files that a call enters."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).parents[2]


@contextmanager
def walk(package: str = "r4t_ray") -> Iterator[set[str]]:
    """Record the files of ``package`` in which a function is entered, in this thread and in threads started meanwhile.

    Lambdas and comprehensions count for their file. The body of a module, which an import runs, does not count.

    Yields:
        Paths relative to the root of the source tree. The set grows while the body runs.
    """
    entered: set[str] = set()
    inside = f"{ROOT / package}/"

    def note(frame: FrameType, event: str, argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(inside) and code.co_name != "<module>":
            entered.add(code.co_filename.removeprefix(f"{ROOT}/"))

    before: Callable[..., Any] | None = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield entered
    finally:
        sys.setprofile(before)
        threading.setprofile(None)  # type: ignore[arg-type]  # typeshed does not allow None, which removes it
