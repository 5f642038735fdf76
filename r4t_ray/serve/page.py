"""The page of ``/``: page.html, shipped beside this module."""

from __future__ import annotations

from functools import cache
from importlib import resources

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
"""Content-Security-Policy: the page's own style and script, and calls to its own server."""


@cache
def read_page() -> str:
    """The HTML. The file is read once."""
    return resources.files("r4t_ray.serve").joinpath("page.html").read_text(encoding="utf-8")
