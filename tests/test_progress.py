"""Progress: elements pass through unchanged; a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from r4t_ray import progress
from r4t_ray.progress import track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """Moves on by four seconds at each call."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 4.0
        return self.now


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


@pytest.mark.parametrize("stream", [io.StringIO, Terminal], ids=["elsewhere", "terminal"])
def test_elements_pass_through(stream: type[io.StringIO], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", stream())
    assert list(track(numbers(5), "counting")) == [0, 1, 2, 3, 4]
    assert list(track([], "nothing")) == []


def test_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    list(track([1, 2, 3], "counting"))
    assert "counting" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()


def test_log_line_every_ten_seconds(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    monkeypatch.setattr(progress.time, "monotonic", Clock())
    with caplog.at_level(logging.INFO):
        list(track(range(7), "counting"))
    # An element takes 4 s. Lines are due at 12 s and 24 s, after elements 3 and 6, and at the end.
    assert [record.getMessage() for record in caplog.records] == [
        "counting: 3 of 7, 0.2 a second",
        "counting: 6 of 7, 0.2 a second",
        "counting: 7 done in 32.0 s",
    ]


def test_unknown_total_is_left_out(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    monkeypatch.setattr(progress.time, "monotonic", Clock())
    with caplog.at_level(logging.INFO):
        list(track(numbers(3), "counting"))
    assert caplog.records[0].getMessage() == "counting: 3, 0.2 a second"


def test_stopping_early_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    for number in track(range(100), "counting"):
        if number == 3:
            break
