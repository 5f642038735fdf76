"""The checkpoints that Ray Train keeps on disk, from which a killed run continues."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

STAGING = "ray_train"
"""Folder of Ray Train's checkpoints while a stage trains. It is removed at the end of the stage."""
SNAPSHOT = "checkpoint_manager_snapshot.json"
"""Ray Train's list of its checkpoints, in the same folder."""

_logger = logging.getLogger(__name__)


def drop_broken_state(folder: Path) -> None:
    """Remove the checkpoints of ``folder`` if Ray Train's list of them is cut off: Ray cannot start from it."""
    for snapshot in (folder / STAGING).glob(f"*/{SNAPSHOT}"):
        try:
            json.loads(snapshot.read_text(encoding="utf-8"))
        except ValueError:
            _logger.warning(
                "%s is cut off: the checkpoints are removed, and this training starts from its first step", snapshot
            )
            shutil.rmtree(folder / STAGING)
            return
