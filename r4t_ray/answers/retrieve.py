"""Answers the missing files of a folder by Ray Data: one actor answers one file at a time."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import ray

from r4t_ray.answers.folder import LOG, LOG_COPY, AnswersFolder, fingerprints
from r4t_ray.answers.table import answers_table
from r4t_ray.artifacts import Workspace
from r4t_ray.config import Resources
from r4t_ray.errors import ArtifactError, DataError
from r4t_ray.machine.cluster_size import Need, check_size, cluster_nodes
from r4t_ray.machine.findings import refuse_faults
from r4t_ray.pairs.actors import map_on_actors
from r4t_ray.pairs.files import write_file
from r4t_ray.pairs.synthesize import MOST_BLOCKS
from r4t_ray.progress import track
from r4t_ray.retrieval.request import RetrieveRequest
from r4t_ray.retrieval.response import RetrieveResponse
from r4t_ray.retrieval.retriever import WorkspaceRetriever
from r4t_ray.retrieval.settings import RetrievalSettings

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Work:
    """What every actor needs.

    Attributes:
        workspace: Folder of the workspace that answers.
        fingerprints: Contents of its stages when the folder was begun.
        folder: The folder in which the files are written.
        template: The fields that all queries share.
        actors: What each actor reserves.
        batch_size: Queries in one pass of the models.
    """

    workspace: str
    fingerprints: dict[str, str]
    folder: Path
    template: RetrieveRequest
    actors: Resources
    batch_size: int


def work_of(folder: AnswersFolder, actors: Resources, batch_size: int) -> Work:
    """What the actors of a folder need."""
    return Work(
        workspace=str(folder.asked.workspace.root),
        fingerprints={name: known for name, known in folder.inputs.parents.items() if name != LOG},
        folder=folder.partial,
        template=folder.asked.template,
        actors=actors,
        batch_size=batch_size,
    )


class AnswerFile:
    """A Ray Data actor: answers the queries of a file and writes it.

    Raises:
        ArtifactError: The workspace was made again since the folder was begun.
    """

    def __init__(self, work: Work) -> None:
        workspace = Workspace(work.workspace)
        self._work, self._log = work, pq.ParquetFile(work.folder / LOG_COPY)
        device = "cuda" if work.actors.gpus else "cpu"
        self._retriever = WorkspaceRetriever(workspace.root, RetrievalSettings(), device, work.actors.num_threads)
        changed = dict(work.fingerprints.items() ^ fingerprints(workspace).items())
        if changed:
            raise ArtifactError(
                work.workspace,
                f"other contents of {', '.join(sorted(changed))} than when the answers were begun",
                "one workspace for all answers",
                "wait until its stages are made, and answer the log with another --out",
            )

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Write the file of a row group of the log; returns its name and its number of queries."""
        queries = self._log.read_row_group(int(row["number"])).to_pylist()
        requests = [
            self._work.template.model_copy(update={"query": query["text"], "task": query["task"]}) for query in queries
        ]
        answers: list[RetrieveResponse | DataError] = []
        for start in range(0, len(requests), self._work.batch_size):
            answers += self._retriever.retrieve_all(requests[start : start + self._work.batch_size])
        write_file(answers_table(queries, answers), self._work.folder / row["file"])
        return {"file": row["file"], "queries": len(queries)}


def answer_files(
    folder: AnswersFolder,
    files: Sequence[dict[str, Any]],
    actors: Resources,
    *,
    batch_size: int = 64,
    actor: type[AnswerFile] = AnswerFile,
) -> None:
    """Write files of answers on Ray, which is connected.

    Args:
        folder: The folder of the answers.
        files: The missing files.
        actors: Number of actors, and what each reserves from Ray.
        batch_size: Queries in one pass of the models.
        actor: Class of the actors. A benchmark passes one that takes the time.

    Raises:
        MachineError: Ray has fewer CPUs or GPUs than the actors reserve.
        ArtifactError: A stage of the workspace was made again meanwhile.
    """
    num = min(actors.num, len(files))
    nodes = cluster_nodes()
    if nodes is not None:
        need = Need(stage="retrieve", setting="--actors", num=num, cpus=actors.cpus, gpus=actors.gpus)
        refuse_faults(check_size([need], nodes))
    work = work_of(folder, actors.model_copy(update={"num": num}), batch_size)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.from_items(list(files), override_num_blocks=min(len(files), MOST_BLOCKS))
    started, num_queries = time.monotonic(), 0
    for row in track(map_on_actors(rows, actor, (work,), work.actors).iter_rows(), "retrieve", total=len(files)):
        num_queries += row["queries"]
    seconds = time.monotonic() - started
    _logger.info("retrieve: %d queries in %.1f s, %.1f a second", num_queries, seconds, num_queries / seconds)
