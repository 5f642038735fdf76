"""The checkpoints that Ray Train keeps on disk, from which a killed run continues."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

STAGING = "ray_train"
"""Where Ray Train keeps its checkpoints while a stage trains; removed at its end."""
SNAPSHOT = "checkpoint_manager_snapshot.json"
"""Ray Train's own list of the checkpoints it has, beside them."""

_logger = logging.getLogger(__name__)


def drop_broken_state(folder: Path) -> None:
    """Remove the checkpoints of ``folder`` if their list was cut off while written: Ray would not start from it."""
    for snapshot in (folder / STAGING).glob(f"*/{SNAPSHOT}"):
        try:
            json.loads(snapshot.read_text(encoding="utf-8"))
        except ValueError:
            _logger.warning(
                "%s is cut off: the checkpoints are dropped, and this training starts from its first step", snapshot
            )
            shutil.rmtree(folder / STAGING)
            return
