"""The command line: its list of commands; a user's fault gives one message, status 2 and no half-written file."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from r4t_ray import cli, pipeline
from r4t_ray.errors import DataError

STAGES = ("ingest", "embed", "build-index", "train-folm", "synthesize-pairs", "train-diffusion", "evaluate")
LOOKED_AFTER = ("status", "drift", "add", "remove", "doctor", "write-log", "write-expansions")
COMMANDS = (*STAGES, "pipeline", "ablate", "serve", "query", "retrieve", "push", *LOOKED_AFTER)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `r4t ARGUMENTS`; returns status, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["r4t", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "200")
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return call


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., Path]:
    """Write an experiment over a `sets` catalogue; keyword arguments add or replace sections."""
    write_rows(tmp_path / "items.jsonl", [{"item_id": name, "text": name} for name in ("salt", "thyme", "oil")])
    write_rows(
        tmp_path / "sets.jsonl",
        [{"set_id": f"s{n}", "title": f"summer dish {n}", "item_ids": ["salt", "oil"]} for n in range(12)],
    )

    def write(**sections: Any) -> Path:
        catalogue = {"type": "sets", "items": str(tmp_path / "items.jsonl"), "sets": str(tmp_path / "sets.jsonl")}
        path = tmp_path / "experiment.yaml"
        path.write_text(yaml.safe_dump({"seed": 1, "catalogue": catalogue} | sections), encoding="utf-8")
        return path

    return write


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def assert_refused(outcome: tuple[int, str, str], *expected: str) -> None:
    status, out, err = outcome
    assert status == 2
    assert "Traceback" not in out + err
    assert re.search(r"error: .+\n  got: .+\n  expected: .+\n  fix: .+", err), err
    for pattern in expected:
        assert re.search(pattern, err), f"{pattern!r} is not in {err}"


def test_help_lists_every_command(run: Run) -> None:
    status, out, _ = run("--help")
    assert status == 0
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b", out)] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    status, out, _ = run(command, "--help")
    assert status == 0
    assert command in out


@pytest.mark.parametrize("command", [*STAGES, "pipeline"])
def test_every_stage_takes_the_short_form_of_workspace(run: Run, command: str) -> None:
    assert "-w" in re.findall(r"(?<!-)-\w\b", run(command, "--help")[1])


def test_ingest_then_skip(run: Run, config: Callable[..., Path], tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    status, out, err = run("ingest", config(), "--workspace", workspace)
    assert status == 0, err
    manifest = workspace / "catalogue" / "manifest.json"
    assert str(manifest.parent) in out
    written = manifest.stat().st_mtime_ns
    timings = json.loads((workspace / "timings.json").read_text())
    assert set(timings) == {"catalogue"}
    assert timings["catalogue"] >= 0
    assert run("ingest", config(), "--workspace", workspace)[0] == 0
    assert manifest.stat().st_mtime_ns == written
    assert json.loads((workspace / "timings.json").read_text()) == timings


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"ingset": {}}, r"ingset: no such setting"),
        ({"encoder": {"dimension": 3}}, r"encoder\.dimension: no such setting"),
        ({"encoder": {"dim": 0}}, r"encoder\.dim: Input should be greater than or equal to 1 \(got 0\)"),
        ({"seed": -1}, r"seed: Input should be greater"),
        ({"catalogue": {"type": "shop"}}, r"catalogue.*shop"),
        ({"serve": {"workers": 3}}, r"serve\.workers: no such setting"),
    ],
)
def test_wrong_setting(
    run: Run, config: Callable[..., Path], tmp_path: Path, sections: dict[str, Any], expected: str
) -> None:
    outcome = run("ingest", config(**sections), "--workspace", tmp_path / "ws")
    assert_refused(outcome, r"experiment\.yaml", expected)
    assert not (tmp_path / "ws").exists()


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        ({"pairs": {"keep": {"type": "all"}}}, r"`pairs\.keep` is now `pairs\.select`"),
        ({"index": {"build_threads": 2}}, r"`index\.build_threads` is now `index\.threads`"),
        ({"encoder": {"num_actors": 2}}, r"`encoder\.num_actors` is now `encoder\.actors\.num`"),
    ],
)
def test_a_setting_of_version_0_1_is_named_with_its_new_name(
    run: Run, config: Callable[..., Path], tmp_path: Path, sections: dict[str, Any], expected: str
) -> None:
    outcome = run("ingest", config(**sections), "--workspace", tmp_path / "ws")
    assert_refused(outcome, r"settings of r4t_ray 0\.1: " + expected + r"; run the pipeline in a new workspace")


def test_missing_config(run: Run, tmp_path: Path) -> None:
    assert_refused(run("ingest", tmp_path / "none.yaml", "--workspace", tmp_path), r"none\.yaml", "no such file")


def missing_column(folder: Path) -> None:
    write_rows(folder / "items.jsonl", [{"item_id": "salt"}])


def empty(folder: Path) -> None:
    (folder / "items.jsonl").write_text("")


def duplicate(folder: Path) -> None:
    write_rows(folder / "items.jsonl", [{"item_id": "salt", "text": "a"}, {"item_id": "salt", "text": "b"}])


def unknown_item(folder: Path) -> None:
    write_rows(folder / "sets.jsonl", [{"set_id": "s", "title": "t", "item_ids": ["plutonium"]}])


def half_a_line(folder: Path) -> None:
    (folder / "sets.jsonl").write_text('{"set_id": "s", "tit')


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (missing_column, "text"),
        (empty, r"items\.jsonl"),
        (duplicate, "salt"),
        (unknown_item, "plutonium"),
        (half_a_line, r"sets\.jsonl"),
    ],
)
def test_wrong_catalogue(
    run: Run, config: Callable[..., Path], tmp_path: Path, spoil: Callable[[Path], None], expected: str
) -> None:
    path = config()
    spoil(tmp_path)
    assert_refused(run("ingest", path, "--workspace", tmp_path / "ws"), expected)
    assert not (tmp_path / "ws" / "catalogue").exists()


def test_stage_before_its_parent_names_the_command(run: Run, config: Callable[..., Path], tmp_path: Path) -> None:
    assert_refused(run("build-index", config(), "--workspace", tmp_path / "ws"), r"r4t (ingest|embed) CONFIG")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "query"),
        (("-k", 0), "k"),
        (("-n", 0), "n"),
    ],
    ids=["empty", "k", "n"],
)
def test_wrong_query(run: Run, arguments: tuple[object, ...], expected: str, tmp_path: Path) -> None:
    text = "dinner" if arguments else "  "
    assert_refused(run("query", text, *arguments), rf"error: {expected}")
    assert_refused(run("query", text, "--local", "--workspace", tmp_path, *arguments), rf"error: {expected}")


def test_query_of_100_kb(run: Run) -> None:
    outcome = run("query", "x" * 100_000)
    assert_refused(outcome, "error: query")
    assert len(outcome[2]) < 1_000


def test_no_server(run: Run) -> None:
    assert_refused(run("query", "dinner", "--url", "http://127.0.0.1:9"), r"r4t serve --workspace DIR")


def test_json_of_a_failed_query_is_empty(run: Run, tmp_path: Path) -> None:
    for where in (("--url", "http://127.0.0.1:9"), ("--local", "--workspace", tmp_path)):
        outcome = run("query", "dinner", "--json", *where)
        assert_refused(outcome)
        assert outcome[1] == ""


def test_unserved_workspace(run: Run, tmp_path: Path) -> None:
    assert_refused(run("query", "dinner", "--local", "--workspace", tmp_path), r"r4t [a-z-]+ CONFIG")


def test_drift_of_nothing(run: Run, tmp_path: Path) -> None:
    assert_refused(run("drift", "-w", tmp_path), r"r4t [a-z-]+ CONFIG")
    assert_refused(run("drift", "-w", tmp_path, "--out", tmp_path / "none" / "drift.json"), r"error: --out")


def test_add_of_nothing(run: Run, tmp_path: Path) -> None:
    assert_refused(run("add", "-w", tmp_path), r"error: --items, --sets")
    write_rows(tmp_path / "new.jsonl", [{"item_id": "basil", "text": "basil"}])
    assert_refused(run("add", "--workspace", tmp_path / "ws", "--items", tmp_path / "new.jsonl"), r"r4t ingest CONFIG")
    assert not (tmp_path / "ws").exists()


def test_our_own_fault_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch, config: Callable[..., Path]) -> None:
    def broken(*_: object) -> None:
        try:
            raise DataError("a", "b", "c", "d")
        except DataError:
            raise KeyError("bug")  # noqa: B904 - a bug while a user's fault is handled is still a bug

    monkeypatch.setattr(pipeline, "run_command", broken)
    monkeypatch.setattr("sys.argv", ["r4t", "ingest", str(config()), "--workspace", "x"])
    with pytest.raises(KeyError, match="bug"):
        cli.main()


def test_doctor(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    from r4t_ray import doctor

    status, out, _ = run("doctor")
    assert status == 0
    assert "ready" in out
    monkeypatch.setitem(doctor.REQUIRED, "no-such-package", "no_such_package")
    status, out, _ = run("doctor")
    assert status == 1
    assert "no-such-package" in out
