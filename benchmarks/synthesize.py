"""Time the synthesis of pairs: the Ray Data graph against a plain loop, and its speed and memory at growing sizes.

``python -m benchmarks.synthesize WORKSPACE`` needs a workspace with finished catalogue, encoder, index and folm
(fan-out language model) stages.

1. Live: the graph samples ``--live`` fan-outs of the frozen model, first with one actor, then with one actor per core.
   Before and after, a plain loop without Ray samples half as many with the same classes. It times generation alone, and
   generation followed by writing. The engine of an actor has one thread. The loop runs with one thread and with one
   thread per core. Startup and the first file are not counted.
2. Replay: for each of ``--sizes`` the same graph writes that number of pairs in a new Ray cluster. Recorded fan-outs of
   the live run replace the engine. The queries are recombined, all different, and embedded.

Memory is the resident size of a process, including shared pages of the object store.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.tables.speed import synthesize_live_table, synthesize_replay_table
from benchmarks.usage import Usage, watched
from r4t_ray.config import Resources
from r4t_ray.types import Task


class SynthesizeSettings(BenchmarkSettings):
    """The task, the number of sampled fan-outs and the numbers of replayed pairs."""

    workspace: Annotated[Path, POSITIONAL] = Field(
        description="Folder with finished catalogue, encoder, index and folm stages."
    )
    task: Task = Field("wscr", description="Task whose pairs are made.")
    live: PositiveInt = Field(20_480, description="Fan-outs sampled by the engine in the graph.")
    sizes: tuple[PositiveInt, ...] = Field((10_000, 100_000, 1_000_000), description="Numbers of pairs to replay.")
    samples: PositiveInt = Field(16, description="Fan-outs per query.")
    queries: PositiveInt = Field(64, description="Queries per file.")
    pairs: Path | None = Field(
        None, description="New folder that keeps the pairs of the run with one actor. Default: they are deleted."
    )


class Replay:
    """A Ray Data actor that replaces the engine: each query gets the fan-outs of a recorded query, chosen by its id."""

    def __init__(self, path: str) -> None:
        self._recorded: list[list[list[str]]] = json.loads(Path(path).read_text(encoding="utf-8"))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with ``fan_outs``, as from ``SampleSubQueries``; recorded fan-outs repeat if there are too few."""
        num, answers = int(row["num_samples"]), []
        for query_id in row["query_id"]:
            known = self._recorded[zlib.crc32(query_id.encode()) % len(self._recorded)]
            answers.append(json.dumps([known[n % len(known)] for n in range(num)], ensure_ascii=False))
        return {**row, "fan_outs": answers}


def measure(settings: SynthesizeSettings) -> Result:
    """Run the loops and the live graphs, then the replays."""
    from r4t_ray.pipeline import set_up_logging

    set_up_logging()
    result = new_result("synthesize", settings)
    counts = sorted({1, len(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as place:
        live_pairs = settings.pairs or Path(place) / "live-1"
        result.rows += [plain_loop(settings, count, Path(place) / f"before-{count}", 0) for count in counts]
        for actors in counts:
            folder = live_pairs if actors == 1 else Path(place) / f"live-{actors}"
            row = run_graph(settings, settings.live, folder, None, actors)
            result.rows.append({"what": "live", "actors": actors, **row})
        result.rows += [plain_loop(settings, count, Path(place) / f"after-{count}", 1) for count in counts]
        recorded = Path(place) / "recorded.json"
        num_recorded, num_queries = record(live_pairs / settings.task, recorded)
        result.facts["recorded_fan_outs"] = num_recorded
        share = num_recorded / (num_queries * settings.samples)  # below 1, because equal fan-outs make one pair
        for size in settings.sizes:
            row = run_graph(settings, int(size / share), Path(place) / f"replay-{size}", recorded)
            result.rows.append({"what": "replay", "size": size, **row})
    return result


def planned(settings: SynthesizeSettings, num_fan_outs: int, seed: int) -> list[dict[str, Any]]:
    """Plan files of recombined queries with a total of at least ``num_fan_outs`` fan-outs."""
    from r4t_ray.artifacts import Workspace
    from r4t_ray.catalogue import recombined_queries
    from r4t_ray.pairs.files import PlannedQuery, plan_files

    num_queries = -(-num_fan_outs // settings.samples)
    new = recombined_queries(Workspace(settings.workspace), settings.task, num_queries, seed)
    if len(new) < num_queries:
        raise SystemExit(f"{num_queries} recombined queries are needed, only {len(new)} exist: raise --samples")
    return plan_files(settings.task, [PlannedQuery(query, settings.samples) for query in new], settings.queries)


def pairs_config(settings: SynthesizeSettings, actors: Resources) -> Any:
    """The PairsConfig of a run."""
    from r4t_ray.pairs import PairsConfig

    return PairsConfig(
        policy={"oar": "folm"}, num_samples=settings.samples, queries_per_file=settings.queries, actors=actors
    )


def plain_loop(settings: SynthesizeSettings, threads: int, folder: Path, seed: int) -> ResultRow:
    """Pairs/s of ``loop_here`` over half of the live fan-outs, in a process of its own; ``seed`` numbers the turn."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    files = planned(settings, settings.live // 2, seed)
    arguments = (settings.workspace, pairs_config(settings, Resources(cpus=threads)), files, folder, seed, sender)
    process = multiprocessing.get_context("spawn").Process(target=loop_here, args=arguments)
    process.start()
    sender.close()
    rates: dict[str, float] = receiver.recv()
    process.join()
    return {"what": "loop", "threads": threads, "turn": seed, **rates}


def loop_here(
    workspace: Path, config: Any, files: Sequence[dict[str, Any]], folder: Path, seed: int, sender: Any
) -> None:
    """Make the calls of the graph one after the other; sends pairs/s with and without writing."""
    from r4t_ray.pairs.synthesize import SampleSubQueries, WritePairs

    (folder / files[0]["task"]).mkdir(parents=True)
    fan_outs = SampleSubQueries(str(workspace), config, seed)
    writer = WritePairs(str(workspace), config, str(folder))
    pairs, generating, writing = 0, 0.0, 0.0
    for number, file in enumerate(files):
        started = time.monotonic()
        row = fan_outs(file)
        generated = time.monotonic()
        written = writer(row)["pairs"]
        if number:
            pairs += written
            generating += generated - started
            writing += time.monotonic() - generated
    sender.send({"generation alone": pairs / generating, "generation, then writing": pairs / (generating + writing)})


def run_graph(
    settings: SynthesizeSettings, num_fan_outs: int, folder: Path, replayed: Path | None, actors: int = 1
) -> ResultRow:
    """Run the graph of the stage once in a new Ray cluster."""
    from r4t_ray.artifacts import Workspace
    from r4t_ray.machine.ray_sessions import connected_to_ray
    from r4t_ray.pairs.synthesize import SampleSubQueries, synthesize

    config, workspace, seed = pairs_config(settings, Resources(num=actors, cpus=0.5)), Workspace(settings.workspace), 2
    source: type[Any] = Replay if replayed else SampleSubQueries
    arguments: tuple[Any, ...] = (str(replayed),) if replayed else (str(workspace.root), config, seed)
    files = planned(settings, num_fan_outs, seed)
    folder.mkdir()
    started = time.monotonic()
    with connected_to_ray(), watched() as usage:
        synthesize(files, config, workspace, folder, source=source, source_args=arguments)
    return measured(folder / settings.task, num_fan_outs, time.monotonic() - started, usage)


def measured(folder: Path, num_fan_outs: int, whole_s: float, usage: Usage) -> ResultRow:
    """Count the pairs that a run wrote, and time the run by its files.

    ``seconds`` is the time from the first file to the last; ``paced`` is the number of pairs written in that time.
    """
    import pyarrow.parquet as pq

    written = sorted(folder.glob("*.parquet"), key=lambda path: path.stat().st_mtime)
    pairs = [pq.read_metadata(path).num_rows for path in written]
    seconds = written[-1].stat().st_mtime - written[0].stat().st_mtime
    size = sum(path.stat().st_size for path in written)
    return {
        "fan_outs": num_fan_outs,
        "pairs": sum(pairs),
        "bytes": size,
        "seconds": seconds,
        "paced": sum(pairs[1:]),
        "whole_s": whole_s,
        "usage": asdict(usage),
    }


def record(folder: Path, path: Path) -> tuple[int, int]:
    """Write the fan-outs of a finished run, query by query; returns the numbers of fan-outs and queries."""
    import pyarrow.dataset as pads

    of_query: dict[str, list[list[str]]] = defaultdict(list)
    for row in pads.dataset(folder, format="parquet").to_table(["query_id", "sub_queries"]).to_pylist():
        of_query[row["query_id"]].append(row["sub_queries"])
    path.write_text(json.dumps(list(of_query.values()), ensure_ascii=False), encoding="utf-8")
    return sum(map(len, of_query.values())), len(of_query)


BENCHMARK = Benchmark(
    name="synthesize",
    settings=SynthesizeSettings,
    measure=measure,
    tables=lambda result: [synthesize_live_table(result), synthesize_replay_table(result)],
    about=__doc__,
)

if __name__ == "__main__":
    BENCHMARK.main()
