"""Synthesis of pairs: the graph beside a plain loop on the same engine, and its pace, size and memory as pairs grow.

``python -m benchmarks.synthesize WORKSPACE`` takes a workspace whose ingest, embed, index and folm stages are finished.

1. Live: ``--live`` fan-outs of the frozen model through the graph with one actor, again with an actor a core, and half
   of them before and after both in a plain loop without Ray that makes the same calls of the same classes: generation
   alone, and generation with the writing of pairs after it. An actor's engine has one thread; the loop's has one, and
   in a second loop one a core. Starts and the first file are not counted.
2. Replay: for each of ``--sizes`` so many pairs through the same graph and onto disk, each in a Ray of its own, where
   what the live run recorded stands in for the engine. Queries are recombined ones, all different, embedded anew.

Memory is the resident size of a process, shared pages of the object store with it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.stopwatch import provenance
from benchmarks.usage import Usage, watched
from r4t_ray.config import Resources


@dataclass(frozen=True)
class Run:
    """One run of the graph: ``seconds`` from its first file to its last, in which ``paced`` pairs were written."""

    fan_outs: int
    pairs: int
    bytes: int
    seconds: float
    paced: int
    whole_s: float
    usage: Usage

    @property
    def pace(self) -> float:
        """Pairs a second."""
        return self.paced / self.seconds


class Replay:
    """Gives recorded fan-outs for any query: those of the recorded query that its id falls on."""

    def __init__(self, path: str) -> None:
        self._recorded: list[list[list[str]]] = json.loads(Path(path).read_text(encoding="utf-8"))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with ``fan_outs``, as ``SampleFanOuts`` gives it; recorded ones repeat when there are too few."""
        num, answers = int(row["num_samples"]), []
        for query_id in row["query_id"]:
            known = self._recorded[zlib.crc32(query_id.encode()) % len(self._recorded)]
            answers.append(json.dumps([known[n % len(known)] for n in range(num)], ensure_ascii=False))
        return {**row, "fan_outs": answers}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.synthesize", description=__doc__.split("\n")[0])
    parser.add_argument("workspace", type=Path, help="folder with finished ingest, embed, index and folm stages")
    parser.add_argument("--task", choices=("oar", "wscr"), default="wscr")
    parser.add_argument("--live", type=int, default=20_480, help="fan-outs sampled by the engine in the graph")
    parser.add_argument("--sizes", type=int, nargs="*", default=(10_000, 100_000, 1_000_000), help="pairs replayed")
    parser.add_argument("--samples", type=int, default=16, help="of a query")
    parser.add_argument("--queries", type=int, default=64, help="of a file")
    parser.add_argument("--pairs", type=Path, help="folder, not there yet, that keeps the pairs of one actor")
    parser.add_argument("--out", type=Path, help="JSON file of all figures")
    return parser


def main() -> None:
    """Measure and print the two tables."""
    options = parser().parse_args()
    from r4t_ray.pipeline import set_up_logging

    set_up_logging()
    counts = sorted({1, len(os.sched_getaffinity(0))})
    with tempfile.TemporaryDirectory() as place:
        live_pairs = options.pairs or Path(place) / "live-1"
        loops: dict[int, list[dict[str, float]]] = {count: [] for count in counts}
        for threads in counts:
            loops[threads].append(plain_loop(options, threads, Path(place) / f"before-{threads}", 0))
        live = {}
        for actors in counts:
            folder = live_pairs if actors == 1 else Path(place) / f"live-{actors}"
            live[actors] = run_graph(options, options.live, folder, None, actors)
        for threads in counts:
            loops[threads].append(plain_loop(options, threads, Path(place) / f"after-{threads}", 1))
        recorded = Path(place) / "recorded.json"
        num_recorded, num_queries = record(live_pairs / options.task, recorded)
        print(live_table(loops, live))
        replays = {}
        share = num_recorded / (num_queries * options.samples)  # of fan-outs, for equal ones of a query become one pair
        for size in options.sizes:
            replays[size] = run_graph(options, int(size / share), Path(place) / f"replay-{size}", recorded)
    print(replay_table(replays, num_recorded))
    if options.out:
        of = {"live": live, "replay": replays}
        runs = {name: {count: asdict(run) for count, run in made.items()} for name, made in of.items()}
        options.out.write_text(json.dumps({**provenance(options), "plain_loop": loops, **runs}, indent=1))


def planned(options: argparse.Namespace, num_fan_outs: int, seed: int) -> list[dict[str, Any]]:
    """Files of recombined queries that ask for so many fan-outs in all."""
    from r4t_ray.artifacts import Workspace
    from r4t_ray.catalogue import load_queries, recombined_queries
    from r4t_ray.pairs.files import PlannedQuery, plan_files

    train = load_queries(Workspace(options.workspace), options.task, "train")
    num_queries = -(-num_fan_outs // options.samples)
    new = recombined_queries(options.task, train, num_queries, seed)
    if len(new) < num_queries:
        raise SystemExit(f"{len(new)} queries can be recombined, {num_queries} are asked for: raise --samples")
    return plan_files(options.task, [PlannedQuery(query, options.samples) for query in new], options.queries)


def settings_of(options: argparse.Namespace, actors: Resources) -> Any:
    """The PairsConfig of a run."""
    from r4t_ray.pairs import PairsConfig

    return PairsConfig(num_samples=options.samples, queries_per_file=options.queries, actors=actors)


def plain_loop(options: argparse.Namespace, threads: int, folder: Path, seed: int) -> dict[str, float]:
    """Pairs a second of ``loop_here`` over half of the live fan-outs, in a process of its own as an engine has."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    files = planned(options, options.live // 2, seed)
    arguments = (options.workspace, settings_of(options, Resources(cpus=threads)), files, folder, seed, sender)
    process = multiprocessing.get_context("spawn").Process(target=loop_here, args=arguments)
    process.start()
    sender.close()
    rates: dict[str, float] = receiver.recv()
    process.join()
    return rates


def loop_here(
    workspace: Path, config: Any, files: Sequence[dict[str, Any]], folder: Path, seed: int, sender: Any
) -> None:
    """Make the graph's calls one after the other; sends pairs a second with and without the writing."""
    from r4t_ray.pairs.synthesize import SampleFanOuts, WritePairs

    (folder / files[0]["task"]).mkdir(parents=True)
    fan_outs = SampleFanOuts(str(workspace), config, seed)
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
    options: argparse.Namespace, num_fan_outs: int, folder: Path, replayed: Path | None, actors: int = 1
) -> Run:
    """One run of the stage's own graph in a Ray of its own."""
    from r4t_ray.artifacts import Workspace
    from r4t_ray.pairs.synthesize import SampleFanOuts, synthesize
    from r4t_ray.pipeline import connected_to_ray

    config, workspace, seed = settings_of(options, Resources(num=actors, cpus=0.5)), Workspace(options.workspace), 2
    source = (Replay, (str(replayed),)) if replayed else (SampleFanOuts, (str(workspace.root), config, seed))
    files = planned(options, num_fan_outs, seed)
    folder.mkdir()
    started = time.monotonic()
    with connected_to_ray(), watched() as usage:
        synthesize(files, config, workspace, folder, *source)
    return measured(folder / options.task, num_fan_outs, time.monotonic() - started, usage)


def measured(folder: Path, num_fan_outs: int, whole_s: float, usage: Usage) -> Run:
    """Count what a run wrote, and time it by its files."""
    import pyarrow.parquet as pq

    written = sorted(folder.glob("*.parquet"), key=lambda path: path.stat().st_mtime)
    pairs = [pq.read_metadata(path).num_rows for path in written]
    seconds = written[-1].stat().st_mtime - written[0].stat().st_mtime
    size = sum(path.stat().st_size for path in written)
    return Run(num_fan_outs, sum(pairs), size, seconds, sum(pairs[1:]), whole_s, usage)


def record(folder: Path, path: Path) -> tuple[int, int]:
    """Write the fan-outs of a finished run, query by query, for ``Replay``; gives how many, and of how many queries."""
    import pyarrow.dataset as pads

    of_query: dict[str, list[list[str]]] = defaultdict(list)
    for row in pads.dataset(folder, format="parquet").to_table(["query_id", "sub_queries"]).to_pylist():
        of_query[row["query_id"]].append(row["sub_queries"])
    path.write_text(json.dumps(list(of_query.values()), ensure_ascii=False), encoding="utf-8")
    return sum(map(len, of_query.values())), len(of_query)


def live_table(loops: dict[int, list[dict[str, float]]], live: dict[int, Run]) -> str:
    """Pairs a second of the loops, before and after, and of the graphs, with their ratios to each loop's mean."""
    heads = [f"{actors} actor{'s' * (actors > 1)}" for actors in live]
    lines = [f"{'live':<40} {'pairs/s':>8} {'before':>8} {'after':>8}" + "".join(f" {h + ' /':>10}" for h in heads)]
    for threads, made in loops.items():
        for name in made[0]:
            rates = [loop[name] for loop in made]
            mean = statistics.mean(rates)
            what = f"loop, {threads} thread{'s' * (threads > 1)}: {name}"
            shares = "".join(f" {run.pace / mean:>10.2f}" for run in live.values())
            lines.append(f"{what:<40} {mean:>8.1f} {rates[0]:>8.1f} {rates[-1]:>8.1f}{shares}")
    for head, run in zip(heads, live.values(), strict=True):
        cpu = ", ".join(f"{kind} {seconds:.0f}" for kind, seconds in run.usage.cpu_s.items())
        lines.append(
            f"{'graph, ' + head:<40} {run.pace:>8.1f}   ({run.pairs} pairs of {run.fan_outs} fan-outs in "
            f"{run.whole_s:.0f} s, starts included; seconds of CPU: {cpu})"
        )
    return "\n".join(lines)


def replay_table(replays: dict[int, Run], num_recorded: int) -> str:
    """Pace, size, shares of CPU and memory at each size, and the pace between sizes."""
    kinds = ("driver", "fan-outs", "writer", "rest of Ray")
    head = "".join(f" {kind + ' CPU':>15} {'GiB':>5}" for kind in kinds)
    lines = [f"{'pairs':>9} {'seconds':>8} {'pairs/s':>8} {'bytes/pair':>10}{head} {'all GiB':>8}"]
    for run in replays.values():
        busy = sum(run.usage.cpu_s.values())
        cells = "".join(
            f" {run.usage.cpu_s.get(kind, 0.0) / busy:>15.0%} {run.usage.peak_bytes.get(kind, 0) / 2**30:>5.2f}"
            for kind in kinds
        )
        lines.append(
            f"{run.pairs:>9,} {run.whole_s:>8.1f} {run.pace:>8.0f} {run.bytes / run.pairs:>10.0f}{cells} "
            f"{run.usage.peak_bytes['all'] / 2**30:>8.2f}"
        )
    for less, more in pairwise(replays.values()):
        rate = (more.pairs - less.pairs) / (more.whole_s - less.whole_s)
        lines.append(f"from {less.pairs:,} to {more.pairs:,}: {rate:.0f} more pairs a second more")
    lines.append(f"replayed: {num_recorded:,} recorded fan-outs. seconds: with the start of Ray and of the actors.")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
