"""References to models in settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator


def absolute(reference: str) -> str:
    """The absolute form of a path that exists, so that it holds in every folder; other references stay as they are.

    >>> absolute("owner/name")
    'owner/name'
    """
    path = Path(reference).expanduser()
    return str(path.resolve()) if reference and path.exists() else reference


ModelReference = Annotated[str, AfterValidator(absolute)]
"""A path, a hub id, or ``package:NAME/sub/dir``. A relative path is resolved when the settings are read."""
