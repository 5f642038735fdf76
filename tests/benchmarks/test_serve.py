"""The load on a server, counted by hand, and its tables."""

from __future__ import annotations

import itertools
import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.harness import Result
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


def test_the_tables_name_processes_by_their_cost_and_leave_out_idle_ones() -> None:
    row = {
        "place": "inline",
        "clients": 8,
        "turn": 0,
        **Load(seconds=1.0, ms=[5.0, 5.0], statuses=Counter({200: 2, 429: 1})).row(),
    }
    row["cpu_ms"] = {"raylet": 0.01, "Gateway": 4.0, "Generator": 9.0}
    soak = {"requests_per_s": 20.0, "statuses": {"200": 9}, "growth": {"Gateway 12": 1.021}}
    loads, growth = serve_tables(Result(benchmark="serve", rows=[row], facts={"soak": soak}))
    assert loads.rows == [
        ["Serve, all inline", "8", "5.0", "5.0", "5.0", "2.0", "1 x 429", "13.0 (Generator 9.0, Gateway 4.0)"]
    ]
    assert growth.rows == [["Gateway", "1.021"]]
    assert "other replies: none" in growth.notes[0]
