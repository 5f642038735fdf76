"""Time the answers to a log by one actor of Ray Data against a plain loop in one process over the same queries.

``python -m benchmarks.retrieve WORKSPACE`` needs a workspace that can be served. ``--queries`` different queries of its
catalogue are answered by turns:

- one by one: ``WorkspaceRetriever.retrieve`` in a loop, in a process without Ray;
- loop: the same passes of ``--batch`` queries as the actor, in a process without Ray, without files;
- actor: ``r4t retrieve`` with one actor, in a new local Ray.

All have the same number of threads. Time starts when the models are loaded, for all three. It ends with the last
answer of a loop, and with the last written file of the actor, Ray Data's hand-over of files included.
"""

from __future__ import annotations

import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.tables.speed import retrieve_table
from r4t_ray.types import Task


class RetrieveSettings(BenchmarkSettings):
    """The workspace, the queries and the threads."""

    workspace: Annotated[Path, POSITIONAL] = Field(description="Folder of a workspace that can be served.")
    queries: PositiveInt = Field(2_000, description="Queries to answer.")
    task: Task = Field("oar", description="Task of the queries.")
    batch: PositiveInt = Field(64, description="Queries in one pass of the models.")
    queries_per_file: PositiveInt = Field(256, description="Queries in a file of the actor.")
    threads: PositiveInt = Field(1, description="Threads of the loops and of the actor.")
    turns: PositiveInt = Field(2, description="Runs of each; they alternate.")


def measure(settings: RetrieveSettings) -> Result:
    """Run the loops and the actor by turns."""
    from r4t_ray.machine.ray_sessions import keep_freed_memory

    keep_freed_memory()  # as for the actor
    result = new_result("retrieve", settings)
    texts = query_texts(settings.workspace, settings.task, settings.queries)
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "queries.jsonl"
        log.write_text("\n".join(json.dumps({"text": text}) for text in texts), encoding="utf-8")
        for turn in range(settings.turns):
            for what in ("one by one", "loop"):
                result.rows.append({"what": what, "turn": turn, **plain_loop(settings, texts, what)})
            folder = Path(place) / f"answers-{turn}"
            result.rows.append({"what": "actor", "turn": turn, **run_actor(settings, log, folder)})
    return result


def query_texts(workspace: Path, task: Task, num: int) -> list[str]:
    """Different queries of the workspace's catalogue, in its order."""
    from r4t_ray.artifacts import Workspace
    from r4t_ray.catalogue import load_queries

    texts = list(dict.fromkeys(query.text for query in load_queries(Workspace(workspace), task)))[:num]
    if len(texts) < num:
        raise SystemExit(f"{num} queries are needed, only {len(texts)} exist: lower --queries")
    return texts


def plain_loop(settings: RetrieveSettings, texts: Sequence[str], what: str) -> ResultRow:
    """Run ``loop_here`` in a process of its own."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("spawn").Process(target=loop_here, args=(settings, texts, what, sender))
    process.start()
    sender.close()
    row: ResultRow = receiver.recv()
    process.join()
    return row


def loop_here(settings: RetrieveSettings, texts: Sequence[str], what: str, sender: Any) -> None:
    """Answer the queries in this process, and send the times."""
    from r4t_ray.retrieval.request import parse_request
    from r4t_ray.retrieval.retriever import WorkspaceRetriever
    from r4t_ray.retrieval.settings import RetrievalSettings

    requests = [parse_request(query=text, task=settings.task) for text in texts]
    retriever = WorkspaceRetriever(settings.workspace, RetrievalSettings(), cpus=settings.threads)
    started, cpu = time.time(), time.process_time()
    if what == "loop":
        for start in range(0, len(requests), settings.batch):
            retriever.retrieve_all(requests[start : start + settings.batch])
    else:
        for request in requests:
            retriever.retrieve(request)
    row = {"queries": len(texts), "seconds": time.time() - started, "cpu_s": time.process_time() - cpu}
    sender.send(row)


def run_actor(settings: RetrieveSettings, log: Path, out: Path) -> ResultRow:
    """Answer the log once in a new local Ray; its actor notes when it is ready and its CPU time."""
    from r4t_ray.answers.folder import Asked, open_answers
    from r4t_ray.answers.retrieve import AnswerFile, Work, answer_files
    from r4t_ray.artifacts import Workspace
    from r4t_ray.config import Resources
    from r4t_ray.machine.ray_sessions import connected_to_ray
    from r4t_ray.retrieval.request import parse_request

    notes = out.with_suffix(".jsonl")

    class NotingFile(AnswerFile):
        def __init__(self, work: Work) -> None:
            super().__init__(work)
            notes.write_text(json.dumps({"ready": time.time()}) + "\n", encoding="utf-8")

        def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
            before = time.process_time()
            said = super().__call__(row)
            with notes.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**said, "cpu_s": time.process_time() - before, "ended": time.time()}) + "\n")
            return said

    asked = Asked(
        log=log,
        template=parse_request(query="any", task=settings.task),
        workspace=Workspace(settings.workspace),
        queries_per_file=settings.queries_per_file,
    )
    with open_answers(asked, out) as folder, connected_to_ray():
        actors = Resources(cpus=1, threads=settings.threads)
        answer_files(folder, folder.missing(), actors, batch_size=settings.batch, actor=NotingFile)
    ready, *calls = map(json.loads, notes.read_text(encoding="utf-8").splitlines())
    return {
        "queries": sum(call["queries"] for call in calls),
        "seconds": max(call["ended"] for call in calls) - ready["ready"],
        "cpu_s": sum(call["cpu_s"] for call in calls),
    }


BENCHMARK = Benchmark(
    name="retrieve",
    settings=RetrieveSettings,
    measure=measure,
    tables=lambda result: [retrieve_table(result)],
    about=__doc__ or "",
)

if __name__ == "__main__":
    BENCHMARK.main()
