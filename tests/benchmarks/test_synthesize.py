"""The synthesis benchmark's replay and tables, by hand."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import Result
from benchmarks.synthesize import Replay, measured, record
from benchmarks.tables.speed import pairs_per_s, synthesize_live_table, synthesize_replay_table
from benchmarks.usage import Usage, watched


def write(path: Path, query_ids: list[str], mtime: float) -> None:
    sub_queries = pa.array([[f"{name} {row}"] for row, name in enumerate(query_ids)], pa.list_(pa.string()))
    pq.write_table(pa.table({"query_id": query_ids, "sub_queries": sub_queries}), path)
    os.utime(path, (mtime, mtime))


def test_a_run_is_timed_from_its_first_file_to_its_last(tmp_path: Path) -> None:
    write(tmp_path / "1.parquet", ["a", "a"], 100.0)
    write(tmp_path / "0.parquet", ["b"] * 6, 103.0)
    write(tmp_path / "2.parquet", ["c"] * 4, 104.0)
    run = measured(tmp_path, 20, 9.0, Usage())
    assert (run["pairs"], run["paced"], run["seconds"], pairs_per_s(run)) == (12, 10, 4.0, 2.5)
    assert run["bytes"] == sum(path.stat().st_size for path in tmp_path.iterdir())


def test_a_query_always_gets_the_same_recorded_fan_outs(tmp_path: Path) -> None:
    write(tmp_path / "0.parquet", ["a", "b", "a"], 1.0)
    assert record(tmp_path, tmp_path / "recorded.json") == (3, 2)
    replay = Replay(str(tmp_path / "recorded.json"))
    row = {"query_id": [f"q{n}" for n in range(20)], "num_samples": 3, "file": "f"}
    answers = [json.loads(answer) for answer in replay(row)["fan_outs"]]
    assert {json.dumps(answer) for answer in answers} == {
        json.dumps([["a 0"], ["a 2"], ["a 0"]]),
        json.dumps([["b 1"]] * 3),
    }
    assert replay(row) == replay(row)


def test_usage_measures_cpu_time_and_memory_of_this_process() -> None:
    with watched() as usage:
        until = time.process_time() + 3.2
        while time.process_time() < until:
            pass
    assert usage.cpu_s["driver"] > 1.5
    assert usage.peak_bytes["all"] >= usage.peak_bytes["driver"] > 10 * 2**20


def test_tables_give_ratios_and_shares() -> None:
    usage = {
        "cpu_s": {"driver": 1.0, "writer": 3.0},
        "peak_bytes": {"driver": 2**30, "writer": 2**31, "all": 3 * 2**30},
    }
    small, large = (
        {
            "pairs": num,
            "bytes": 800 * num,
            "seconds": num / 100,
            "paced": num,
            "whole_s": num / 100 + 20,
            "usage": usage,
        }
        for num in (1000, 9000)
    )
    names = ("generation alone", "generation, then writing")
    loops = [
        {"what": "loop", "threads": threads, **dict.fromkeys(names, rate)}
        for threads, rate in ((1, 80.0), (2, 50.0), (1, 120.0))
    ]
    live = [{"what": "live", "actors": actors, **run} for actors, run in ((1, small), (2, large))]
    table = synthesize_live_table(Result(benchmark="synthesize", rows=[*loops, *live]))
    assert table.rows[0][1:] == ("100.0", "80.0, 120.0", "1.00", "1.00")
    assert table.rows[2][1:] == ("50.0", "50.0, 50.0", "2.00", "2.00")
    replays = [{"what": "replay", **run} for run in (small, large)]
    table = synthesize_replay_table(Result(benchmark="synthesize", rows=replays))
    assert table.rows[0][:5] == ("1,000", "30.0", "100", "800", "25%, 1.00 GiB")
    assert table.notes == ["from 1,000 to 9,000 pairs: 100 more pairs per additional second"]
