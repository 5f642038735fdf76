"""What Ray Train keeps of a run on disk, so that one that was killed goes on when it is started again."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

STAGING = "ray_train"
"""Where Ray Train keeps its checkpoints while a stage trains; removed at its end."""
SNAPSHOT = "checkpoint_manager_snapshot.json"
"""Ray Train's own list of the checkpoints it has, beside them."""

log = logging.getLogger(__name__)


def drop_broken_state(folder: Path) -> None:
    """Remove ``folder``'s checkpoints where the list of them was cut off in the writing: Ray would refuse to start."""
    for snapshot in (folder / STAGING).glob(f"*/{SNAPSHOT}"):
        try:
            json.loads(snapshot.read_text(encoding="utf-8"))
        except ValueError:
            log.warning("%s is cut off: the checkpoints are dropped, what was being trained begins anew", snapshot)
            shutil.rmtree(folder / STAGING)
            return
