"""The load on a server, counted by hand, and its tables."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.harness import Result, ResultRow
from benchmarks.load import Load, bodies, put_load
from benchmarks.tables.serve import serve_tables


def test_no_two_requests_have_the_same_query() -> None:
    made = [json.loads(body) for body in itertools.islice(bodies(["soup", "pie"], k=3), 7)]
    assert len({body["query"] for body in made}) == 7
    assert all(body["k"] == 3 for body in made)


def test_only_answers_are_timed_and_every_reply_is_counted() -> None:
    load = Load(seconds=2.0, ms=[10.0, 30.0, 20.0, 40.0], statuses=Counter({200: 4, 429: 1, 0: 2}))
    row = load.row()
    assert (row["requests_per_s"], row["p50"]) == (2.0, 25.0)
    assert row["p99"] == pytest.approx(39.7)
    assert row["statuses"] == {"0": 2, "200": 4, "429": 1}
    assert "p50" not in Load(seconds=1.0, statuses=Counter({503: 1})).row()


@pytest.fixture
def address() -> Iterator[str]:
    """A server that refuses every third request."""
    numbers = itertools.count(1)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(429 if next(numbers) % 3 == 0 else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_clients_see_the_replies_of_a_server(address: str) -> None:
    load = put_load(address, bodies(["soup"]), clients=2, seconds=0.2)
    num = load.statuses.total()
    assert load.statuses == {200: num - num // 3, 429: num // 3}
    assert len(load.ms) == load.statuses[200] > 2
    assert 0.2 <= load.seconds < 5


def row_of(place: str, ms: list[float], turn: int = 0, seconds: float = 1.0, **cpu_ms: float) -> ResultRow:
    load = Load(seconds=seconds, ms=ms, statuses=Counter({200: len(ms)}))
    return {"place": place, "clients": 1, "turn": turn, **load.row(), "cpu_ms": cpu_ms}


def test_the_tables_name_processes_by_their_cost_and_leave_out_idle_ones() -> None:
    row = row_of("inline", [5.0, 5.0], raylet=0.01, Gateway=4.0, Generator=9.0)
    row["statuses"] |= {"429": 1}
    soak = {"requests_per_s": 20.0, "statuses": {"200": 9}, "growth": {"Gateway 12": 1.021}}
    loads, growth = serve_tables(Result(benchmark="serve", rows=[row], facts={"soak": soak}))
    assert loads.rows == [
        ["Serve, all inline", "1", "5.0", "5.0", "5.0", "-", "2.0", "-", "1 x 429", "13.0 (Generator 9.0, Gateway 4.0)"]
    ]
    assert growth.rows == [["Gateway", "1.021"]]
    assert "other replies: none" in growth.notes[0]


def test_a_ratio_compares_the_figures_of_one_turn() -> None:
    """The machine is slower in the second turn."""
    turns = [(10.0, 20.0, 50, 10), (30.0, 60.0, 20, 4), (10.0, 30.0, 60, 9)]
    rows = [
        row
        for turn, (here, served, rate, old_rate) in enumerate(turns)
        for row in (
            row_of("in process", [here], turn),
            row_of("inline", [served] * rate, turn),
            row_of("old", [99.0] * old_rate, turn),
        )
    ]
    (loads,) = serve_tables(Result(benchmark="serve", rows=rows))
    named = {row[0]: dict(zip(loads.columns, row, strict=True)) for row in loads.rows}
    inline = named["Serve, all inline"]
    assert (inline["p50 ms"], inline["p50 / in process"]) == ("30.0", "2.00")  # of 20, 60, 30; of 2, 2, 3
    assert (inline["answers/s"], inline["/ version 0.1"]) == ("50.0", "5.0")  # of 50, 20, 60; of 5, 5, 6.7
    assert named["in process"]["p50 / in process"] == "1.00"


def test_the_stages_of_the_answers_are_their_means() -> None:
    load = Load(seconds=1.0, ms=[5.0, 5.0], statuses=Counter({200: 2}))
    load.add_stages(b'{"query":"x","timings_ms":{"wait":1.0,"encode":3.0},"model":{}}')
    load.add_stages(b'{"timings_ms":{"wait":2.0,"encode":5.0}}')
    load.add_stages(b"{}")
    row = row_of("inline", []) | load.row()
    _, stages = serve_tables(Result(benchmark="serve", rows=[row]))
    assert stages.columns == ["place", "clients", "wait ms", "encode ms"]
    assert stages.rows == [["Serve, all inline", "1", "1.5", "4.0"]]
