"""The progress of a running train-folm, in a small file that its learner rewrites at each step."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TypedDict

from r4t_ray.artifacts import MANIFEST
from r4t_ray.errors import MissingArtifactError
from r4t_ray.files import partial_folder, write_json
from r4t_ray.folm.learner.run_log import RunLog
from r4t_ray.types import TASKS

STATUS = "status.json"
OUTCOME = "outcome.txt"
"""File in ``folm/`` with a line for each task that ended no better than plain search or chance."""
SETTINGS = "settings.json"
"""The only file in ``folm/`` of a workspace without a language model."""
PARTIAL = partial_folder(Path("folm")).name


class Status(TypedDict):
    """The progress of one task's training: ``step`` of ``num_steps`` batches, the last metrics, the pace, the faults.

    ``validation_rewards`` holds the first and the last mean reward of the validation queries, if any was measured.
    The metrics come from the first worker. ``samples_per_s`` counts the samples of all workers. ``updated`` is in
    seconds since 1970.
    """

    task: str
    step: int
    num_steps: int
    reward: float
    validation_rewards: list[float]
    components: dict[str, float]
    samples_per_s: float
    eta_s: float
    staleness: float
    starts: int
    faults: dict[str, int]
    updated: float


def write_status(log: RunLog) -> None:
    """Write ``status.json`` from a log that has rows. The pace is measured since this process began."""
    rows, seconds = log.rows, log.seconds
    last, done = rows[-1], log.rows_of_this_start
    measured = [row.validation_reward for row in rows if row.validation_reward is not None]
    status: Status = {
        "task": last.task,
        "step": len(rows),
        "num_steps": log.num_steps,
        "reward": last.reward,
        "validation_rewards": [measured[0], measured[-1]] if measured else [],
        "components": dict(last.components),
        "samples_per_s": log.num_workers * sum(row.num_rollouts for row in done) / seconds,
        "eta_s": (log.num_steps - len(rows)) * seconds / len(done),
        "staleness": last.staleness,
        "starts": log.starts,
        "faults": {
            "earlier starts": log.starts - 1,
            "batches in which a rollout actor died": sum(row.faults["restarted"] > 0 for row in rows),
            "dropped samples": sum(int(row.faults["dropped"]) for row in rows),
            "degenerate groups": sum(int(row.faults["degenerate_groups"]) for row in rows),
        },
        "updated": time.time(),
    }
    write_json(log.folder / STATUS, status)


def count_starts(folder: Path) -> int:
    """The number of starts of this folder's learner, this one included."""
    file = folder / STATUS
    return 1 + (json.loads(file.read_text(encoding="utf-8"))["starts"] if file.is_file() else 0)


def read_status(workspace: Path) -> list[Status]:
    """The status of every task that an unfinished train-folm has begun. The list is empty if the stage is finished.

    Raises:
        MissingArtifactError: The workspace has no train-folm, running or finished.
    """
    files = [workspace / PARTIAL / task / STATUS for task in TASKS]
    found: list[Status] = [json.loads(file.read_text(encoding="utf-8")) for file in files if file.is_file()]
    if not (found or (workspace / PARTIAL).is_dir() or (workspace / "folm" / MANIFEST).is_file()):
        raise MissingArtifactError(
            str(workspace), "no train-folm, running or finished", f"{PARTIAL} or folm", "run `r4t train-folm`"
        )
    return found


def read_outcome(workspace: Path) -> str:
    """The lines of ``outcome.txt`` of a finished train-folm; "" if every task ended better than plain search."""
    if (workspace / "folm" / SETTINGS).is_file():
        return "no language model was trained (folm.train: false)\n"
    file = workspace / "folm" / OUTCOME
    return file.read_text(encoding="utf-8") if file.is_file() else ""
