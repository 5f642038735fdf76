"""Files that were changed, cut, or replaced by a pickle are refused before anything answers."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import faiss
import numpy as np
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.decoder import load_query_decoder
from r4t_ray.decoder.files import NUMBERS
from r4t_ray.diffusion import DiffusionRetriever
from r4t_ray.encoders.encoder import load_encoder
from r4t_ray.errors import ArtifactError
from r4t_ray.index import load_shards
from r4t_ray.retrieval.loading import SERVED_STAGES, open_tasks, verify
from r4t_ray.serve.app import build_app
from r4t_ray.serve.args import AppArgs

from ..conftest import DIM, NoSettings


class Payload:
    """Its pickle makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, ...]:
        return Path.mkdir, (self.folder,)


def pickle_of(folder: Path) -> bytes:
    pickle.loads(pickle.dumps(Payload(folder)))
    folder.rmdir()  # so it works, if anything loads it
    return pickle.dumps(Payload(folder))


@pytest.fixture
def copied(shop: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(shop.root, tmp_path / "workspace")
    return Workspace(tmp_path / "workspace")


def served_files(workspace: Workspace) -> Iterator[Path]:
    for stage in SERVED_STAGES:
        yield from (workspace.root / stage / name for name in workspace.artifact(stage).manifest.files)


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "one byte less": lambda content: content[:-1],
    "one byte more": lambda content: content + b"\0",
    "first bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "last bit": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "a pickle": lambda content: pickle.dumps({"projection": np.eye(2)}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_no_file_that_is_served_may_change(copied: Workspace, fault: str) -> None:
    verify(copied)
    files = list(served_files(copied))
    assert {file.name for file in files} >= {"shard_000.faiss", "model.safetensors", "pca.safetensors", "items.parquet"}
    for file in files:
        content = file.read_bytes()
        file.write_bytes(FAULTS[fault](content))
        with pytest.raises(ArtifactError, match=r"sha256") as refused:
            build_app(AppArgs(workspace=str(copied.root)))
        assert refused.value.where == str(file)
        file.write_bytes(content)
    verify(copied)


def test_a_wrong_sha256_or_a_missing_file_is_refused(copied: Workspace) -> None:
    for stage in SERVED_STAGES:
        manifest = copied.root / stage / "manifest.json"
        content = manifest.read_text()
        name, sha256 = next(iter(json.loads(content)["files"].items()))
        for wrong in (content.replace(sha256, sha256[::-1]), content.replace(name, "other"), content[:-9], "[]", "{}"):
            manifest.write_text(wrong)
            with pytest.raises(ArtifactError):
                build_app(AppArgs(workspace=str(copied.root)))
        manifest.write_text(content)
    verify(copied)


def with_own_sha256(workspace: Workspace, file: Path, content: bytes) -> None:
    """Write a file and its sha256, as someone could who may write to the folder."""
    old, new = (hashlib.sha256(each).hexdigest() for each in (file.read_bytes(), content))
    file.write_bytes(content)
    stage, *rest = file.relative_to(workspace.root).parts
    manifest = json.loads((workspace.root / stage / "manifest.json").read_text())
    manifest["files"]["/".join(rest)] = new
    (workspace.root / stage / "manifest.json").write_text(json.dumps(manifest))
    if stage == "encoder":
        config = file.parent / "config.json"
        config.write_text(config.read_text().replace(old, new))


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("encoder/model/pca.safetensors", lambda workspace: load_encoder(workspace.root / "encoder" / "model")),
        ("diffusion/oar/model.safetensors", lambda w: DiffusionRetriever.from_pretrained(w.root / "diffusion" / "oar")),
        (f"decoder/{NUMBERS}", load_query_decoder),
        ("index/oar/shard_000.faiss", lambda workspace: load_shards(workspace.root / "index" / "oar")),
    ],
)
def test_a_pickle_with_the_right_sha256_is_not_loaded(
    copied: Workspace, name: str, load: Callable[[Workspace], object], tmp_path: Path
) -> None:
    if name.startswith("decoder"):
        copied.build("decoder", NoSettings(), 0, ["index"], lambda folder: write(folder / NUMBERS, b"numbers"))
    file = copied.root / name
    for content in (pickle_of(tmp_path / "loaded"), b"", file.read_bytes()[:-3], b"\xff" * 64):
        with_own_sha256(copied, file, content)
        with pytest.raises(ArtifactError) as refused:
            load(copied)
        assert refused.value.where == str(file)
        assert not (tmp_path / "loaded").exists()


def write(file: Path, content: bytes) -> int:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return 1


@pytest.mark.parametrize(("rows", "dim"), [(0, DIM + 1), (0, DIM - 1), (1, DIM), (-1, DIM)])
def test_an_index_of_another_size_or_width_is_refused(copied: Workspace, rows: int, dim: int) -> None:
    file = copied.root / "index" / "oar" / "shard_000.faiss"
    other = faiss.IndexFlatIP(dim)
    other.add(np.ones((load_shards(file.parent)[0].size + rows, dim), np.float32))
    with_own_sha256(copied, file, faiss.serialize_index(other).tobytes())
    with pytest.raises(ArtifactError, match=f"of width {dim}; expected .* of width {DIM}"):
        load_shards(file.parent)
    with pytest.raises(ArtifactError, match="another 'index'"):  # the fingerprint of the stage changed too
        open_tasks(copied, AppArgs(workspace=str(copied.root)), with_index=True)
