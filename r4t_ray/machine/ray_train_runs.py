"""Runs of Ray Train: the cluster that its helpers ask, and the checkpoints from which a killed run continues."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STAGING = "ray_train"
"""Folder of Ray Train's checkpoints while a stage trains. It is removed at the end of the stage."""
SNAPSHOT = "checkpoint_manager_snapshot.json"
"""Ray Train's list of its checkpoints, in the same folder."""

_logger = logging.getLogger(__name__)


@contextmanager
def own_cluster_asked() -> Iterator[None]:
    """Make Ray Train's helpers ask the cluster of this process whether the controller of a run lives.

    Without RAY_ADDRESS they ask the last cluster that `ray start` started on this machine. If that one is gone, each
    run waits for it for 12 seconds at its end. If it lives, it knows no such controller, and the run loses its workers.
    """
    import ray
    from ray.train.v2._internal.constants import ENV_VARS_TO_PROPAGATE

    if os.environ.get("RAY_ADDRESS"):
        yield
        return
    ENV_VARS_TO_PROPAGATE.add("RAY_ADDRESS")
    os.environ["RAY_ADDRESS"] = ray.get_runtime_context().gcs_address
    try:
        yield
    finally:
        del os.environ["RAY_ADDRESS"]


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
