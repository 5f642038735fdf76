"""What the benchmark of kills counts, by hand."""

from __future__ import annotations

from math import inf

from benchmarks.faults import outage
from benchmarks.harness import Result
from benchmarks.tables.faults import faults_table


def test_an_outage_is_the_longest_time_without_an_answer() -> None:
    replies = [(1.0, 200), (2.0, 503), (4.0, 200), (4.5, 200), (6.0, 503), (6.5, 200)]
    assert outage(replies, 1.5) == {"outage_s": 3.0, "recovered_s": 5.0}
    assert outage([(1.0, 200), (3.0, 200)], 1.5) == {"outage_s": 2.0, "recovered_s": 0.0}
    assert outage([(1.0, 200), (2.0, 0)], 1.5) == {"outage_s": inf, "recovered_s": inf}


def test_a_row_tells_replies_that_are_no_answer() -> None:
    row = {"replicas": 1, "killed": "proxy", "statuses": {"0": 7, "200": 90}, "partial": 0}
    table = faults_table(Result(benchmark="faults", rows=[{**row, "outage_s": 6.04, "recovered_s": 5.0}]))
    assert table.rows == [["1", "proxy", "90", "0", "7 x no reply", "6.0", "5.0"]]
    unseen = {**row, "statuses": {"200": 90}, "outage_s": 0.2, "recovered_s": 0.0}
    assert faults_table(Result(benchmark="faults", rows=[unseen])).rows[0][-3:] == ["none", "0.2", "-"]
