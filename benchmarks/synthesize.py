"""Synthesis of pairs: the graph beside a plain loop on the same engine, and its pace, size and memory as pairs grow.

``python -m benchmarks.synthesize WORKSPACE`` takes a workspace whose ingest, embed, index and folm stages are finished.

1. Live: ``--live`` fan-outs of the frozen model through the graph with one actor, and half of them before and after it
   in a plain loop without Ray that makes the same calls of the same classes: generation alone, and generation with the
   writing of pairs after it. Starts and the first file are not counted.
2. Replay: for each of ``--sizes`` so many pairs through the same graph and onto disk, each in a Ray of its own, where
   what the live run recorded stands in for the engine. Queries are recombined ones, all different, embedded anew.

Memory is the resident size of a process, shared pages of the object store with it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import tempfile
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.stopwatch import without_paths

OPERATORS = {"Map(FanOuts)": "fan-outs", "Map(Replay)": "fan-outs", "Map(WritePairs)": "writer"}
LOOK_EVERY_S = 2.0
"""Between two looks at all processes: one takes some 25 ms of a core, which the engine wants."""


@dataclass
class Usage:
    """Seconds of CPU and greatest resident bytes, by kind of process: driver, fan-outs, writer, rest of Ray."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)


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
        """As ``FanOuts``: the row with its ``fan_outs``, repeated where fewer were recorded than are asked for."""
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
    parser.add_argument("--pairs", type=Path, help="folder, not there yet, that keeps the live run's pairs")
    parser.add_argument("--out", type=Path, help="JSON file of all figures")
    return parser


def main() -> None:
    """Measure and print the two tables."""
    options = parser().parse_args()
    from r4t_ray.pipeline import set_up_logging

    set_up_logging()
    with tempfile.TemporaryDirectory() as place:
        half = options.live // 2
        loops = [plain_loop(options, half, Path(place) / "before", 0)]
        live_pairs = options.pairs or Path(place) / "live"
        live = run_graph(options, options.live, live_pairs, replayed=None)
        loops.append(plain_loop(options, half, Path(place) / "after", 1))
        recorded = Path(place) / "recorded.json"
        num_recorded, num_queries = record(live_pairs / options.task, recorded)
        print(live_table(loops, live))
        replays = {}
        share = num_recorded / (num_queries * options.samples)  # of fan-outs, for equal ones of a query become one pair
        for size in options.sizes:
            replays[size] = run_graph(options, int(size / share), Path(place) / f"replay-{size}", replayed=recorded)
    print(replay_table(replays, num_recorded))
    if options.out:
        runs = {"live": asdict(live), "replay": {size: asdict(run) for size, run in replays.items()}}
        options.out.write_text(json.dumps({"options": without_paths(options), "plain_loop": loops, **runs}, indent=1))


def planned(options: argparse.Namespace, num_fan_outs: int, seed: int) -> list[dict[str, Any]]:
    """Files of recombined queries that ask for so many fan-outs in all."""
    from r4t_ray.artifacts import Workspace
    from r4t_ray.catalogue import load_queries, recombined_queries
    from r4t_ray.pairs.files import Asked, plan_files

    train = load_queries(Workspace(options.workspace), options.task, "train")
    num_queries = -(-num_fan_outs // options.samples)
    new = recombined_queries(options.task, train, num_queries, seed)
    if len(new) < num_queries:
        raise SystemExit(f"{len(new)} queries can be recombined, {num_queries} are asked for: raise --samples")
    return plan_files(options.task, [Asked(query, options.samples) for query in new], options.queries)


def settings_of(options: argparse.Namespace) -> Any:
    """The PairsConfig of all runs."""
    from r4t_ray.pairs import PairsConfig

    return PairsConfig(num_samples=options.samples, queries_per_file=options.queries)


def plain_loop(options: argparse.Namespace, num_fan_outs: int, folder: Path, seed: int) -> dict[str, float]:
    """Pairs a second of ``loop_here``, in a process of its own as the graph's engine has."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    arguments = (options, planned(options, num_fan_outs, seed), folder, seed, sender)
    process = multiprocessing.get_context("spawn").Process(target=loop_here, args=arguments)
    process.start()
    sender.close()
    rates: dict[str, float] = receiver.recv()
    process.join()
    return rates


def loop_here(
    options: argparse.Namespace, files: Sequence[dict[str, Any]], folder: Path, seed: int, sender: Any
) -> None:
    """Make the graph's calls one after the other; sends pairs a second with and without the writing."""
    from r4t_ray.pairs.synthesize import FanOuts, WritePairs

    (folder / options.task).mkdir(parents=True)
    fan_outs = FanOuts(str(options.workspace), settings_of(options), seed)
    writer = WritePairs(str(options.workspace), settings_of(options), str(folder))
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


def run_graph(options: argparse.Namespace, num_fan_outs: int, folder: Path, replayed: Path | None) -> Run:
    """One run of the stage's own graph in a Ray of its own."""
    from r4t_ray.artifacts import Workspace
    from r4t_ray.pairs.synthesize import FanOuts, synthesize
    from r4t_ray.pipeline import connected_to_ray

    config, workspace, seed = settings_of(options), Workspace(options.workspace), 2
    source = (Replay, (str(replayed),)) if replayed else (FanOuts, (str(workspace.root), config, seed))
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


@contextmanager
def watched() -> Iterator[Usage]:
    """CPU and memory of this process and all below it, by kind, sampled."""
    import psutil

    usage, done = Usage(), threading.Event()
    kinds: dict[int, str] = {}
    cpu_s: dict[int, float] = {}
    root = psutil.Process()

    def look() -> None:
        sizes: dict[str, int] = defaultdict(int)
        for process in [root, *root.children(recursive=True)]:
            try:
                title, size, times = " ".join(process.cmdline()), process.memory_info().rss, process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            known = kinds.get(process.pid, "driver" if process == root else "rest of Ray")
            kinds[process.pid] = next((kind for name, kind in OPERATORS.items() if name in title), known)
            cpu_s[process.pid] = times.user + times.system
            sizes[kinds[process.pid]] += size
        sizes["all"] = sum(sizes.values())
        for kind, size in sizes.items():
            usage.peak_bytes[kind] = max(usage.peak_bytes.get(kind, 0), size)

    def watch() -> None:
        while not done.wait(LOOK_EVERY_S):
            look()

    before = sum(root.cpu_times()[:2])
    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield usage
    finally:
        done.set()
        thread.join()
        look()
        for pid, seconds in cpu_s.items():
            usage.cpu_s[kinds[pid]] = usage.cpu_s.get(kinds[pid], 0.0) + seconds - (before if pid == root.pid else 0.0)


def record(folder: Path, path: Path) -> tuple[int, int]:
    """Write the fan-outs of a finished run, query by query, for ``Replay``; gives how many, and of how many queries."""
    import pyarrow.dataset as pads

    of_query: dict[str, list[list[str]]] = defaultdict(list)
    for row in pads.dataset(folder, format="parquet").to_table(["query_id", "sub_queries"]).to_pylist():
        of_query[row["query_id"]].append(row["sub_queries"])
    path.write_text(json.dumps(list(of_query.values()), ensure_ascii=False), encoding="utf-8")
    return sum(map(len, of_query.values())), len(of_query)


def live_table(loops: Sequence[dict[str, float]], live: Run) -> str:
    """Pairs a second of the loop, before and after, and of the graph, with its ratio to the loop's mean."""
    lines = [f"{'live':<26} {'pairs/s':>8} {'before':>8} {'after':>8} {'graph / this':>12}"]
    for name in loops[0]:
        rates = [loop[name] for loop in loops]
        mean = statistics.mean(rates)
        lines.append(f"{name:<26} {mean:>8.1f} {rates[0]:>8.1f} {rates[-1]:>8.1f} {live.pace / mean:>12.2f}")
    lines.append(f"{'graph, one actor':<26} {live.pace:>8.1f}   ({live.pairs} pairs of {live.fan_outs} fan-outs)")
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
