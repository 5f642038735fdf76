"""The progress of a running train-folm, in a small file that its learner keeps up to date."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from r4t_ray.artifacts import MANIFEST, write_json
from r4t_ray.errors import MissingArtifactError
from r4t_ray.types import TASKS

if TYPE_CHECKING:
    from r4t_ray.folm.learner import Learner

STATUS = "status.json"
PARTIAL = "folm.partial"


class Status(TypedDict):
    """One task's training: the batch ``step`` of ``steps``, its figures, the pace, and the faults so far.

    The figures are of the first worker, the pace is of all workers. ``updated`` is in seconds since 1970.
    """

    task: str
    step: int
    steps: int
    reward: float
    components: dict[str, float]
    samples_per_s: float
    eta_s: float
    staleness: float
    starts: int
    faults: dict[str, int]
    updated: float


def write_status(learner: Learner) -> None:
    """Write ``status.json`` into the folder of a learner that has rows; the pace is of this process."""
    rows, steps, seconds = learner.rows, learner.grpo.steps, time.monotonic() - learner.started
    last, done = rows[-1], rows[learner.num_resumed :]
    status: Status = {
        "task": last.task,
        "step": len(rows),
        "steps": steps,
        "reward": last.reward,
        "components": dict(last.components),
        "samples_per_s": learner.num_workers * sum(row.num_rollouts for row in done) / seconds,
        "eta_s": (steps - len(rows)) * seconds / len(done),
        "staleness": last.staleness,
        "starts": learner.starts,
        "faults": {
            "earlier starts": learner.starts - 1,
            "batches in which a rollout actor died": sum(row.faults["restarted"] > 0 for row in rows),
            "dropped samples": sum(int(row.faults["dropped"]) for row in rows),
            "degenerate groups": sum(int(row.faults["degenerate_groups"]) for row in rows),
        },
        "updated": time.time(),
    }
    write_json(learner.folder / STATUS, status)


def count_starts(folder: Path) -> int:
    """How often a learner of this folder has been started, this time included."""
    file = folder / STATUS
    return 1 + (json.loads(file.read_text(encoding="utf-8"))["starts"] if file.is_file() else 0)


def read_status(workspace: Path) -> list[Status]:
    """The status of every task that a running or stopped train-folm has come to; none where the stage is finished.

    Raises:
        MissingArtifactError: The stage has neither been started nor finished here.
    """
    files = [workspace / PARTIAL / task / STATUS for task in TASKS]
    found: list[Status] = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
    if not (found or (workspace / PARTIAL).is_dir() or (workspace / "folm" / MANIFEST).is_file()):
        raise MissingArtifactError(
            str(workspace), "no train-folm, running or finished", f"{PARTIAL} or folm", "run `r4t train-folm`"
        )
    return found
