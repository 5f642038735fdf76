"""The page of ``/``: page.html, shipped beside this module."""

from __future__ import annotations

from functools import cache
from importlib import resources

from r4t_ray.types import TASKS, Task

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
"""Content-Security-Policy: the page's own style and script, and calls to its own server."""


CHOICES: dict[Task, str] = {"oar": "open-ended (OAR)", "wscr": "items of one set (WSCR)"}
"""How the form names the tasks."""


@cache
def read_page(tasks: tuple[Task, ...] = TASKS) -> str:
    """The HTML, whose form offers the ``tasks`` that are served. The file is read once."""
    choices = "".join(f'<option value="{task}">{CHOICES[task]}</option>' for task in tasks)
    page = resources.files("r4t_ray.serve").joinpath("page.html").read_text(encoding="utf-8")
    return page.replace("<!-- tasks -->", choices)
