"""A stage's output on disk: a folder whose manifest.json is written last.

A stage builds in ``<stage>.partial``, which is renamed to ``<stage>`` once its manifest is complete. So a folder with
the final name is always whole. A stage is skipped when its settings, its seed and its parents' contents are unchanged;
settings that change no result (``config.operational``) do not count.
"""

from r4t_ray.artifacts.manifest import (
    ANSWERS,
    MANIFEST,
    NEW_ENTRIES,
    OPERATING_POINTS,
    Artifact,
    Manifest,
    read_manifest,
)
from r4t_ray.artifacts.workspace import Workspace

__all__ = [
    "ANSWERS",
    "MANIFEST",
    "NEW_ENTRIES",
    "OPERATING_POINTS",
    "Artifact",
    "Manifest",
    "Workspace",
    "read_manifest",
]
