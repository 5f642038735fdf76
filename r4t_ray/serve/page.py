"""The page of ``/``: the files of web/ as one document, and a policy that lets a browser run these alone."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from importlib import resources
from typing import NamedTuple

from r4t_ray.diffusion.samplers import SOLVERS
from r4t_ray.retrieval.request import METHODS, Method
from r4t_ray.types import TASKS, Task

SCRIPTS = ("elements", "server", "state", "filters", "form", "answer", "main")
"""The files of JavaScript in the order in which they are joined."""

METHOD_NAMES: dict[Method, str] = {
    "diffusion": "Diffusion",
    "mmr": "MMR",
    "none": "Plain search",
    "folm": "Language model",
}
CHOICES: dict[Task, str] = {"oar": "open-ended (OAR)", "wscr": "items of one set (WSCR)"}
"""How the form names the tasks."""


class Page(NamedTuple):
    """The HTML, and its Content-Security-Policy: the page's own style and script, and calls to its own server."""

    html: str
    policy: str


@cache
def read_page(tasks: tuple[Task, ...] = TASKS, methods: tuple[Method, ...] = METHODS) -> Page:
    """The page, whose form offers the tasks and methods that are served, the first as defaults. Files are read once."""
    style, script = read("page.css"), "".join(read(f"{name}.js") for name in SCRIPTS)
    parts = {
        "tasks": options({task: CHOICES[task] for task in tasks}),
        "methods": options({method: METHOD_NAMES[method] for method in methods}),
        "unguided": " ".join(name for name, solver in SOLVERS.items() if not solver.is_guided),
        "noiseless": " ".join(name for name, solver in SOLVERS.items() if not solver.starts_from_noise),
        "style": style,
        "script": script,
    }
    html = read("page.html")
    for name, part in parts.items():
        html = html.replace("{{" + name + "}}", part)
    allowed = {
        "default-src": "'none'",
        "style-src": digest(style),
        "script-src": digest(script),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    return Page(html, "; ".join(f"{name} {value}" for name, value in allowed.items()))


def options(names: Mapping[str, str]) -> str:
    """The choices of a form's field: value -> name."""
    return "".join(f'<option value="{value}">{name}</option>' for value, name in names.items())


def read(name: str) -> str:
    """The text of a file of web/."""
    return resources.files("r4t_ray.serve").joinpath("web", name).read_text(encoding="utf-8")


def digest(text: str) -> str:
    """The source of a policy that allows an element with this text."""
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"
