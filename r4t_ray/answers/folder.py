"""The folder of answers. It begins with a checked copy of the log, and only the same inputs continue it.

``FOLDER.partial`` has ``inputs.json``, the copy of the log and the files of answers that are written. The number of a
file is the number of its row group in the copy, so the copy says which files are missing. ``FOLDER`` appears when all
are there.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from r4t_ray.answers.log import copy_log, sha256_of_log
from r4t_ray.artifacts import ANSWERS, MANIFEST, NEW_ENTRIES, OPERATING_POINTS, Artifact, Workspace, read_manifest
from r4t_ray.artifacts.inputs import StageInputs
from r4t_ray.artifacts.lock import locked
from r4t_ray.artifacts.manifest import make_manifest, verify_files
from r4t_ray.artifacts.unfinished import INPUTS, changes, remove_marks
from r4t_ray.errors import ArtifactError, ConfigError
from r4t_ray.files import (
    finish_replacement,
    partial_folder,
    put_in_place,
    remove_leftovers,
    sha256_file,
    whole_file,
    write_json,
)
from r4t_ray.live.log import LIVE, log_path
from r4t_ray.pairs.files import missing_files
from r4t_ray.retrieval.filtering.loading import pool_attributes, read_item_attributes
from r4t_ray.retrieval.loading import SERVED_STAGES, describe, served_tasks, verify
from r4t_ray.retrieval.open_task import OpenTask, Pool
from r4t_ray.retrieval.request import RetrieveRequest
from r4t_ray.retrieval.retriever import choose_task, default_task
from r4t_ray.retrieval.settings import RetrievalSettings
from r4t_ray.types import Task

LOG = "queries"
"""Name of the log among the inputs, beside the stages."""
LOG_COPY = "queries.parquet"
FILES = "answers"
"""Folder of the parquet files of answers, inside the folder of the artifact."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of a workspace.

    Attributes:
        log: File, folder of parts or glob with the queries.
        template: The fields that all queries share; its query is not used.
        workspace: The workspace that answers.
        queries_per_file: Most queries in a file of answers.
    """

    log: Path
    template: RetrieveRequest
    workspace: Workspace
    queries_per_file: int = 256


@dataclass(frozen=True, kw_only=True)
class AnswersFolder:
    """A folder of answers that this process holds.

    Attributes:
        path: Its final name.
        asked: What is answered. Its template names the default task.
        inputs: The inputs by which a folder is continued or refused.
        is_finished: Whether the answers were there before.
    """

    path: Path
    asked: Asked
    inputs: StageInputs
    is_finished: bool

    @property
    def partial(self) -> Path:
        """The folder in which the answers are written."""
        return partial_folder(self.path)

    def missing(self) -> list[dict[str, Any]]:
        """The name of each file that is to be written, and the number of its row group in the copy of the log."""
        if self.is_finished:
            return []
        (self.partial / FILES).mkdir(exist_ok=True)
        count = pq.read_metadata(self.partial / LOG_COPY).num_row_groups
        files = [{"file": f"{FILES}/{number:06d}.parquet", "number": number} for number in range(count)]
        return missing_files(files, self.partial)

    def finish(self) -> Artifact:
        """Write the manifest and give the folder its final name; raises ArtifactError if a file is missing."""
        if self.is_finished:
            return Artifact(path=self.path, manifest=read_manifest(self.path))
        left = self.missing()
        if left:
            raise ArtifactError(
                str(self.partial),
                f"{len(left)} files removed after they were written, first {left[0]['file']}",
                "every file in place",
                "keep other programs out of the folder and run the command again; it writes the missing files",
            )
        rows = pq.read_metadata(self.partial / LOG_COPY).num_rows
        manifest = make_manifest(ANSWERS, self.partial, rows, self.inputs)
        write_json(self.partial / MANIFEST, asdict(manifest))
        put_in_place(self.partial, self.path)
        remove_marks(self.path)
        return Artifact(path=self.path, manifest=manifest, is_new=True)


@contextmanager
def open_answers(asked: Asked, out: Path) -> Iterator[AnswersFolder]:
    """Hold the folder ``out``, begin it if it is new, and keep other processes from writing it.

    Raises:
        ConfigError: ``out`` has other files, or answers to other inputs.
        DataError: The log cannot be used; see ``copy_log``.
        RequestError: The workspace cannot serve the task, the ``k`` or the ``guidance``.
        ArtifactError: The workspace cannot be served, a file of the answers was changed, or another process works here.
    """
    out = out.expanduser().resolve()
    verify(asked.workspace)
    tasks = served_models(asked.workspace)
    task = asked.template.task or default_task(tuple(tasks), RetrievalSettings())
    choose_task(tasks, task)
    asked = replace(asked, template=asked.template.model_copy(update={"task": task}))
    inputs = inputs_of(asked)
    with locked(out.with_name(f"{out.name}.lock"), "--out"):
        finish_replacement(out)
        is_finished = _is_finished(out, inputs)
        if not is_finished:
            _begin(partial_folder(out), asked, tasks, inputs)
        yield AnswersFolder(path=out, asked=asked, inputs=inputs, is_finished=is_finished)


def served_models(workspace: Workspace) -> dict[Task, OpenTask]:
    """The tasks of a workspace with their models and without their pools, enough to check requests."""
    settings, nothing = RetrievalSettings(), Pool(ids=[], texts=[])
    items = read_item_attributes(workspace)
    return {
        task: OpenTask(
            task=task,
            pool=nothing,
            model=describe(workspace, task, settings, num_new_entries=0),
            attributes=pool_attributes(workspace, task, nothing.ids, items),
        )
        for task in served_tasks(workspace)
    }


def inputs_of(asked: Asked) -> StageInputs:
    """The settings, and the contents of the log and of every stage that answers."""
    config = asked.template.model_dump(mode="json", exclude={"query", "seed"})
    return StageInputs(
        config=config | {"queries_per_file": asked.queries_per_file},
        seed=asked.template.seed,
        parents={LOG: sha256_of_log(asked.log), **fingerprints(asked.workspace)},
    )


def fingerprints(workspace: Workspace) -> dict[str, str]:
    """The fingerprint of every stage that answers queries, and the sha256 of the log of live changes."""
    stages = [stage for stage in (*SERVED_STAGES, "decoder", NEW_ENTRIES, OPERATING_POINTS) if workspace.holds(stage)]
    found = {stage: read_manifest(workspace.root / stage).fingerprint for stage in stages}
    log = log_path(workspace)
    return found | ({LIVE: sha256_file(log)} if log.is_file() else {})


def _is_finished(out: Path, inputs: StageInputs) -> bool:
    """Whether ``out`` has the answers. Raises ConfigError if it has something else, ArtifactError if they changed."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    manifest = read_manifest(out) if (out / MANIFEST).is_file() else None
    if manifest is None or manifest.stage != ANSWERS:
        raise ConfigError(
            "--out", f"{out}, which has other files", "a folder that does not exist or is empty", "name another --out"
        )
    _refuse_changes(out, inputs.changes_from(manifest.recorded))
    verify_files(out, manifest)
    remove_marks(out)
    return True


def _begin(partial: Path, asked: Asked, tasks: dict[Task, OpenTask], inputs: StageInputs) -> None:
    """Copy the checked log and record the inputs, unless that was done before. A refused log leaves nothing."""
    found = changes(partial, inputs)
    if found is not None:
        _refuse_changes(partial, found)
        return
    partial.mkdir(parents=True, exist_ok=True)
    try:
        remove_leftovers(partial)
        with whole_file(partial / LOG_COPY) as copy:
            rows = copy_log(
                asked.log, copy, template=asked.template, tasks=tasks, queries_per_file=asked.queries_per_file
            )
        write_json(partial / INPUTS, inputs.recorded())
    finally:
        with suppress(OSError):  # the folder is not empty
            partial.rmdir()
    _logger.info("retrieve: %d queries", rows)


def _refuse_changes(folder: Path, found: list[str]) -> None:
    if found:
        raise ConfigError(
            "--out",
            f"{folder}, which has answers to other inputs: {'; '.join(found)}",
            "the inputs with which the folder was begun",
            f"name another --out, or set the inputs back to continue, or remove {folder}",
        )
