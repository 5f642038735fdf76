"""Answers to a log equal the answers of `Retriever`, and a folder of answers is whole, continued or left alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from r4t_ray import cli
from r4t_ray.answers.folder import AnswersFolder, Asked, open_answers
from r4t_ray.answers.retrieve import AnswerFile, work_of
from r4t_ray.artifacts import NEW_ENTRIES, Workspace, read_manifest
from r4t_ray.artifacts.manifest import verify_files
from r4t_ray.config import Resources
from r4t_ray.errors import ArtifactError, ConfigError, DataError, R4TError, RequestError
from r4t_ray.files import sha256_file
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.response import RetrieveResponse
from r4t_ray.retrieval.retriever import Retriever

from ..serve.test_bad_vectors import NoStews

QUERIES = [
    {"query_id": "first", "text": "a warm soup"},
    {"text": "lentil  dishes "},
    {"query_id": "third", "text": "lentil stew", "task": "wscr"},
    {"query_id": "4", "text": "something with mushrooms"},
    {"text": "a warm soup", "task": "wscr"},
]
SHARED = {"k": 4, "n": 3, "seed": 5, "temperature": 1.5}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(map(json.dumps, QUERIES)))
    return path


def asked_of(workspace: Workspace, log: Path, **fields: Any) -> Asked:
    return Asked(
        log=log, template=parse_request(query="any", **(SHARED | fields)), workspace=workspace, queries_per_file=2
    )


def actor_of(folder: AnswersFolder) -> AnswerFile:
    """The actor, in this process."""
    return AnswerFile(work_of(folder, Resources(), batch_size=2))


def rows_of(out: Path) -> list[dict[str, Any]]:
    files = sorted((out / "answers").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file).to_pylist()]


def assert_equal(row: dict[str, Any], answer: RetrieveResponse) -> None:
    assert (row["text"], row["task"]) == (answer.query, answer.task)
    assert [(item["id"], item["text"]) for item in row["items"]] == [(item.id, item.text) for item in answer.items]
    assert [item["score"] for item in row["items"]] == pytest.approx([item.score for item in answer.items], abs=1e-5)
    for item, own in zip(row["items"], answer.items, strict=True):
        scores = {
            each.index: entry.score for each in answer.directions for entry in each.items if entry.id == item["id"]
        }
        assert item["direction"] in own.directions
        assert scores[item["direction"]] == max(scores.values())
    assert [each["label"] for each in row["directions"]] == [each.label for each in answer.directions]
    assert [each["item_ids"] for each in row["directions"]] == [
        [item.id for item in each.items] for each in answer.directions
    ]
    weights = [each.weight for each in answer.directions]
    assert [each["weight"] for each in row["directions"]] == pytest.approx(weights, abs=1e-5)


Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `r4t retrieve` in this process; gives its status, stdout and stderr."""

    def run(*options: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["r4t", "retrieve", *map(str, options)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0), *capsys.readouterr()

    return run


def test_the_command_answers_as_the_retriever_does(
    tiny_workspace: Workspace, log: Path, tmp_path: Path, command: Command
) -> None:
    out = tmp_path / "answers"
    options = ["-w", tiny_workspace.root, "--queries", log, "--out", out, "-k", 4, "-n", 3, "--seed", 5]
    options += ["--temperature", 1.5, "--actors", 2, "--cpus", 1, "--batch-size", 2, "--queries-per-file", 2]
    options += ["--field", "include_query=true", "--field", "dedupe=true"]
    options += ["--filter", '{"not": {"eq": ["rank", 0]}}']

    status, said, faults = command(*options)
    assert (status, said) == (0, f"{out}: 5 answers\n"), faults
    rows = rows_of(out)
    assert [row["row"] for row in rows] == [0, 1, 2, 3, 4]
    assert [row["query_id"] for row in rows] == ["first", None, "third", "4", None]
    retriever = Retriever(tiny_workspace.root)
    for row, query in zip(rows, QUERIES, strict=True):
        more = {"include_query": True, "dedupe": True, "filter": {"not": {"eq": ["rank", 0]}}}
        assert_equal(row, retriever.retrieve(query["text"], task=query.get("task"), **SHARED, **more))
    manifest = read_manifest(out)
    verify_files(out, manifest)
    assert (manifest.stage, manifest.rows, manifest.seed) == ("answers", 5, 5)
    assert (manifest.config["k"], manifest.config["dedupe"]) == (4, True)
    assert manifest.parents["queries"] == sha256_file(log)
    assert manifest.parents["diffusion"] == read_manifest(tiny_workspace.root / "diffusion").fingerprint
    assert sorted(path.name for path in out.iterdir()) == ["answers", "manifest.json", "queries.parquet"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers", "log.jsonl"]

    written = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert command(*options)[:2] == (0, f"{out}: 5 answers\n")
    status, said, faults = command(*options, "--guidance", 2)
    assert (status, said) == (2, "")
    assert "guidance is 2.0, was null" in faults
    status, said, faults = command(*options, "--max-per", "roles")
    assert (status, said) == (2, "")
    assert "got:      'roles'" in faults
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == written


def test_a_text_without_a_vector_has_a_row_with_its_error(
    tiny_workspace: Workspace, log: Path, tmp_path: Path, command: Command
) -> None:
    out = tmp_path / "answers"
    with open_answers(asked_of(tiny_workspace, log), out) as folder:
        actor = actor_of(folder)
        generator: Any = actor._retriever._backend.generator
        generator.encoder = NoStews(generator.encoder)
        for file in folder.missing():
            actor(file)
        folder.finish()
    rows = rows_of(out)
    assert [row["error"] is None for row in rows] == [True, True, False, True, True]
    assert (rows[2]["items"], rows[2]["directions"]) == ([], [])
    assert "not finite for 'lentil stew'" in rows[2]["error"]
    retriever = Retriever(tiny_workspace.root)
    for row in (rows[0], rows[3]):
        assert_equal(row, retriever.retrieve(row["text"], task=row["task"], **SHARED))
    options = ["-w", tiny_workspace.root, "--queries", log, "--out", out, "-k", 4, "-n", 3, "--seed", 5]
    options += ["--temperature", 1.5, "--queries-per-file", 2]
    assert command(*options)[1] == f"{out}: 5 answers, 1 of them an error\n"


def test_a_stopped_run_continues_with_the_missing_files(tiny_workspace: Workspace, log: Path, tmp_path: Path) -> None:
    out, asked = tmp_path / "answers", asked_of(tiny_workspace, log)
    with open_answers(asked, out) as folder:
        first, second, third = folder.missing()
        assert actor_of(folder)(second) == {"file": "answers/000001.parquet", "queries": 2}
    (folder.partial / "answers" / "000002.parquet.5f.partial").write_text("half-written")
    kept = folder.partial / second["file"]
    written = kept.stat().st_mtime_ns
    log.rename(tmp_path / "moved.jsonl")
    with open_answers(asked_of(tiny_workspace, tmp_path / "moved.jsonl"), out) as folder:
        assert folder.missing() == [first, third]
        with pytest.raises(ArtifactError, match=r"2 files removed .* first answers/000000\.parquet"):
            folder.finish()
        actor = actor_of(folder)
        for file in (third, first):
            actor(file)
        assert kept.stat().st_mtime_ns == written
        assert folder.finish().manifest.rows == 5
    assert [row["row"] for row in rows_of(out)] == [0, 1, 2, 3, 4]
    assert not list(tmp_path.rglob("*.partial"))
    with open_answers(asked_of(tiny_workspace, tmp_path / "moved.jsonl"), out) as folder:
        assert folder.missing() == []
        assert not folder.finish().is_new
    (out / second["file"]).unlink()
    moved = asked_of(tiny_workspace, tmp_path / "moved.jsonl")
    with pytest.raises(ArtifactError, match=r"remove the folder and run `r4t retrieve`"), open_answers(moved, out):
        pass


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"k": 3}, r"answers\.partial, which has answers to other inputs: k is 3, was 4;? ?"),
        ({"seed": 6}, r"the seed is 6, was 5"),
        ({"task": "wscr"}, r'task is "wscr", was "oar"'),
        ({"log": "another"}, r"'queries' has other contents"),
    ],
)
def test_other_inputs_do_not_continue_a_folder(
    tiny_workspace: Workspace, log: Path, tmp_path: Path, changes: dict[str, Any], expected: str
) -> None:
    out = tmp_path / "answers"
    with open_answers(asked_of(tiny_workspace, log), out) as folder:
        before = {path: path.read_bytes() for path in folder.partial.rglob("*") if path.is_file()}
    if changes.pop("log", None):
        log.write_text('{"text": "another"}')
    with pytest.raises(ConfigError, match=expected), open_answers(asked_of(tiny_workspace, log, **changes), out):
        pass
    assert {path: path.read_bytes() for path in folder.partial.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("lines", "fields", "kind"),
    [
        (['{"text": "tea"}', '{"text": ""}'], {}, DataError),
        (['{"text": "tea"}'], {"k": 7}, RequestError),
        (["half a line"], {}, DataError),
    ],
)
def test_a_refused_log_leaves_nothing(
    tiny_workspace: Workspace, tmp_path: Path, lines: list[str], fields: dict[str, Any], kind: type[R4TError]
) -> None:
    log, out = tmp_path / "log.jsonl", tmp_path / "new" / "answers"
    log.write_text("\n".join(lines))
    with pytest.raises(kind), open_answers(asked_of(tiny_workspace, log, **fields), out):
        pass
    assert [path for path in tmp_path.rglob("*") if path != log] == [tmp_path / "new"]


def test_a_folder_of_something_else_is_left_alone(tiny_workspace: Workspace, log: Path, tmp_path: Path) -> None:
    asked = asked_of(tiny_workspace, log)
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").write_text("mine")
    for out in (tmp_path / "own", tiny_workspace.root / "index", log):
        with pytest.raises(ConfigError, match="which has other files"), open_answers(asked, out):
            pass
    assert (tmp_path / "own" / "notes.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "own"]


@pytest.mark.parametrize("is_added", [True, False])
def test_a_workspace_that_changes_meanwhile_answers_no_more(
    tiny_workspace: Workspace, grown_workspace: Workspace, log: Path, tmp_path: Path, is_added: bool
) -> None:
    root, new_entries = tmp_path / "workspace", grown_workspace.root / NEW_ENTRIES
    shutil.copytree(tiny_workspace.root if is_added else grown_workspace.root, root)
    with open_answers(asked_of(Workspace(root), log), tmp_path / "answers") as folder:
        if is_added:
            shutil.copytree(new_entries, root / NEW_ENTRIES)
        else:
            shutil.rmtree(root / NEW_ENTRIES)
        with pytest.raises(ArtifactError, match=r"other contents of new_entries than when"):
            actor_of(folder)
