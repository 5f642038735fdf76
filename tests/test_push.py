"""Push from a workspace to a folder or a hub. The hub of the tests is an HTTP server that keeps the files."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from pydantic import ConfigDict

from r4t_ray.artifacts import Workspace
from r4t_ray.config import Settings
from r4t_ray.diffusion import DiffusionConfig, DiffusionRetriever, NetworkConfig, StudentConfig
from r4t_ray.errors import ArtifactError, ConfigError, MissingArtifactError
from r4t_ray.evaluation import EvaluationConfig
from r4t_ray.evaluation.push import push
from r4t_ray.evaluation.results import MetricRow
from r4t_ray.files import write_json

NETWORK = NetworkConfig(
    num_rows=5, dim=8, hidden_size=16, mlp_size=16, num_heads=2, num_layers=1, noise_dim=4, num_anchors=0
)
TOKEN = "hf_of_a_test"
FILES = {"README.md", "config.json", "model.safetensors"}


class Recorded(Settings):
    """Any settings."""

    model_config = ConfigDict(extra="allow")


class Hub(BaseHTTPRequestHandler):
    """The requests of huggingface_hub for one model: create, preupload, commit, download."""

    files: dict[str, bytes]
    created: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        root = f"http://127.0.0.1:{self.server.server_address[1]}"
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, b"{}")
        elif self.path == "/api/repos/create":
            self.created.append(json.loads(body))
            self.answer(200, json.dumps({"url": f"{root}/someone/dinner"}).encode())
        elif self.path == "/api/models/someone/dinner/preupload/main":
            modes = {"uploadMode": "regular", "shouldIgnore": False}
            files = [{"path": file["path"], **modes} for file in json.loads(body)["files"]]
            self.answer(200, json.dumps({"files": files}).encode())
        elif self.path == "/api/models/someone/dinner/commit/main":
            lines = [json.loads(line) for line in body.splitlines()]
            sent = [line["value"] for line in lines if line["key"] == "file"]
            self.files.update({file["path"]: base64.b64decode(file["content"]) for file in sent})
            done = {"commitUrl": f"{root}/someone/dinner/commit/1", "commitOid": "1" * 40}
            self.answer(200, json.dumps(done).encode())
        else:
            self.answer(200, b'{"errors": [], "warnings": []}')

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.answer(200 if name in self.files else 404, self.files.get(name, b""), name)

    do_HEAD = do_GET

    def answer(self, status: int, body: bytes, etag: str = "none") -> None:
        self.send_response(status)
        for name, value in {"Content-Length": len(body), "ETag": f'"{etag}"', "X-Repo-Commit": "1" * 40}.items():
            self.send_header(name, str(value))
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub that accepts ``TOKEN``, and environment variables for both."""
    handler = type("EmptyHub", (Hub,), {"files": {}, "created": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    root = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    download = root + "/{repo_id}/resolve/{revision}/{filename}"
    for name, value in {"ENDPOINT": root, "HUGGINGFACE_CO_URL_TEMPLATE": download, "HF_HUB_OFFLINE": False}.items():
        monkeypatch.setattr(huggingface_hub.constants, name, value)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield handler
    server.shutdown()
    server.server_close()


def retriever(folder: Path) -> int:
    DiffusionRetriever(NETWORK).save_pretrained(folder / "wscr")
    (folder / "wscr" / "README.md").unlink()
    return 1


def nothing(folder: Path) -> int:
    return 1


def figures(folder: Path) -> int:
    row = MetricRow(task="wscr", method="r4t_diffusion", measure="vendi", value=0.5, low=0.25, high=0.75, n=9)
    write_json(folder / "metrics.json", [row])
    return 1


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """The stages of a card, each with almost no content."""
    made = Workspace(tmp_path / "ws")
    pairs = {"num_samples": 2, "temperature": 0.9, "num_recombined": {"oar": 0, "wscr": 0}, "select": {"type": "all"}}
    made.build("catalogue", Recorded(catalogue={"type": "sets", "items": str(tmp_path)}), 0, [], nothing)
    made.build("encoder", Recorded(model=str(tmp_path), model_sha256="ab12", dim=8), 0, ["catalogue"], nothing)
    made.build("pairs", Recorded(**pairs), 0, ["encoder"], nothing)
    made.build("diffusion", DiffusionConfig(network=NETWORK, prior_weight=0.0), 0, ["pairs"], retriever)
    return made


def same_weights(one: DiffusionRetriever, other: DiffusionRetriever) -> bool:
    theirs = other.state_dict()
    return all(torch.equal(value, theirs[name]) for name, value in one.state_dict().items())


def test_out_writes_files_that_from_pretrained_loads(workspace: Workspace, tmp_path: Path) -> None:
    shown = push(workspace.root, "someone/dinner", "wscr", out=tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == FILES
    assert shown == (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert 'from_pretrained("someone/dinner")' in shown
    assert "## Measured\n\nNot measured." in shown
    for line in ("| network.num_rows | 5 |", "| optimizer.learning_rate | 0.002 |", "| training.seed | 0 |"):
        assert line in shown.splitlines()
    assert str(tmp_path) not in shown
    trained = DiffusionRetriever.from_pretrained(workspace.root / "diffusion" / "wscr")
    assert same_weights(trained, DiffusionRetriever.from_pretrained(tmp_path / "out"))


def test_student_pushes_the_student(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--student.*diffusion\.student\.wscr"):
        push(workspace.root, "a/b", "wscr", student=True, out=tmp_path / "none")

    def with_student(folder: Path) -> int:
        retriever(folder)
        DiffusionRetriever(NETWORK).save_pretrained(folder / "wscr" / "student")
        return 1

    config = DiffusionConfig(network=NETWORK, prior_weight=0.0, student={"wscr": StudentConfig()})
    workspace.build("diffusion", config, 0, ["pairs"], with_student)
    own = workspace.root / "diffusion" / "wscr"
    for student, folder in ((False, own), (True, own / "student")):
        push(workspace.root, "a/b", "wscr", student=student, out=tmp_path / f"{student}")
        pushed = DiffusionRetriever.from_pretrained(tmp_path / f"{student}")
        assert same_weights(pushed, DiffusionRetriever.from_pretrained(folder))


def test_a_report_is_in_the_card_and_a_stale_one_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    workspace.build("evaluation", EvaluationConfig(), 0, ["diffusion"], figures)
    assert push(workspace.root, "a/b", "wscr", out=tmp_path / "1").endswith("| vendi | 0.500 [0.250, 0.750] |")
    workspace.build("diffusion", DiffusionConfig(network=NETWORK, prior_weight=0.0), 1, ["pairs"], retriever)
    with pytest.raises(ArtifactError, match="r4t evaluate"):
        push(workspace.root, "a/b", "wscr", out=tmp_path / "2")
    assert not (tmp_path / "2").exists()


def test_a_changed_weight_is_not_pushed(workspace: Workspace, hub: type[Hub]) -> None:
    weights = workspace.root / "diffusion" / "wscr" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ArtifactError, match="sha256"):
        push(workspace.root, "someone/dinner", "wscr")
    assert not hub.created


def test_an_untrained_workspace_and_a_full_folder(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match="r4t train-diffusion"):
        push(tmp_path / "none", "someone/dinner", "wscr", out=tmp_path / "out")
    with pytest.raises(ConfigError, match="empty folder"):
        push(workspace.root, "someone/dinner", "wscr", out=workspace.root)


def test_a_push_is_one_commit_that_from_pretrained_downloads(
    workspace: Workspace, hub: type[Hub], tmp_path: Path
) -> None:
    address = push(workspace.root, "someone/dinner", "wscr", private=True)
    assert address.endswith("/someone/dinner/commit/1")
    assert [made["visibility"] for made in hub.created] == ["private"]
    assert set(hub.files) == FILES
    assert b"# Diffusion retriever, task wscr" in hub.files["README.md"]
    assert TOKEN.encode() not in b"".join(hub.files.values())
    trained = DiffusionRetriever.from_pretrained(workspace.root / "diffusion" / "wscr")
    assert same_weights(trained, DiffusionRetriever.from_pretrained("someone/dinner", cache_dir=tmp_path / "cache"))


def test_pickled_weights_are_not_downloaded(workspace: Workspace, hub: type[Hub], tmp_path: Path) -> None:
    push(workspace.root, "someone/dinner", "wscr")
    torch.save({}, tmp_path / "weights")
    del hub.files["model.safetensors"]
    hub.files["pytorch_model.bin"] = (tmp_path / "weights").read_bytes()
    with pytest.raises(huggingface_hub.errors.EntryNotFoundError):
        DiffusionRetriever.from_pretrained("someone/dinner", cache_dir=tmp_path / "cache")


def test_a_hub_that_refuses(workspace: Workspace, hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_another")
    with pytest.raises(ConfigError, match="hf auth login") as caught:
        push(workspace.root, "someone/dinner", "wscr")
    assert "hf_another" not in str(caught.value)
    assert not hub.files


def test_an_invalid_name(workspace: Workspace, hub: type[Hub]) -> None:
    with pytest.raises(ConfigError, match="OWNER/NAME"):
        push(workspace.root, "some one//dinner", "wscr")
