"""The embed stage on a toy catalogue, with a real local Ray."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from r4t_ray.artifacts import Workspace
from r4t_ray.config import Resources, Settings
from r4t_ray.embedding_table import embedding_table
from r4t_ray.encoders import EncoderConfig, embed, load_embeddings, load_encoder, load_serving_encoder, run, set_text
from r4t_ray.encoders.stream import EmbedBatch
from r4t_ray.errors import ArtifactError, MissingArtifactError

# There are more rows than in a call of the model or a row group, and their lengths differ, so a wrong order would show.
CALL_ROWS = 128
ITEMS = [f"{'very ' * (number % 7)}ripe fruit number {number}" for number in range(300)]
SETS = [("Fruit salad", "Salad recipes"), ("Toast", "")]
QUERIES = ["something fresh", "breakfast"]


def write_catalogue(folder: Path) -> int:
    ids = [f"i{number}" for number in range(len(ITEMS))]
    items = {"item_id": ids, "text": ITEMS, "attributes": ["{}"] * len(ITEMS)}
    pq.write_table(pa.table(items), folder / "items.parquet", row_group_size=70)
    titles, descriptions = zip(*SETS, strict=True)
    sets = {"set_id": ["s0", "s1"], "title": titles, "description": descriptions, "item_ids": [["i0", "i1"], ["i2"]]}
    pq.write_table(pa.table(sets), folder / "sets.parquet")
    queries = {
        "query_id": ["q0", "q1"],
        "task": ["oar"] * 2,
        "text": QUERIES,
        "item_ids": [[], []],
        "split": ["train"] * 2,
    }
    schema = pa.schema(
        [(name, pa.string()) for name in ("query_id", "task", "text")]
        + [("item_ids", pa.list_(pa.string())), ("split", pa.string())]
    )
    pq.write_table(pa.table(queries, schema=schema), folder / "queries.parquet")
    return len(ITEMS)


@pytest.fixture(scope="module")
def workspace(ray_session: str, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    workspace.build("catalogue", Settings(), 0, [], write_catalogue)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embed, "STREAM_ROWS", CALL_ROWS)
        run(EncoderConfig(dim=16), workspace, seed=0)
    return workspace


def test_rows_equal_the_encoder_in_catalogue_order(workspace: Workspace) -> None:
    encoder = load_encoder(workspace.artifact("encoder").path / "model")
    served = load_serving_encoder(workspace.artifact("encoder").path / "model", threads=1)
    texts = {"items": ITEMS, "sets": [set_text(*pair) for pair in SETS], "queries": QUERIES}
    for kind in ("items", "sets", "queries"):
        ids, emb_MD = load_embeddings(workspace, kind)
        assert ids == [f"{kind[0]}{row}" for row in range(len(texts[kind]))]
        assert emb_MD.dtype == np.float32
        assert np.abs(emb_MD - encoder.encode(texts[kind])).max() < 1e-6
        assert np.abs(emb_MD - served.encode(texts[kind])).max() < 1e-4
        assert np.abs(np.linalg.norm(emb_MD, axis=1) - 1).max() < 1e-5
    assert sorted(workspace.artifact("encoder").manifest.files) == [
        "items.parquet",
        "model/config.json",
        "model/model.onnx",
        "model/pca.safetensors",
        "model/tokenizer.json",
        "queries.parquet",
        "sets.parquet",
    ]


def test_unchanged_stage_is_skipped(workspace: Workspace) -> None:
    manifest = workspace.root / "encoder" / "manifest.json"
    before = manifest.stat().st_mtime_ns
    run(EncoderConfig(dim=16), workspace, seed=0)
    assert manifest.stat().st_mtime_ns == before


def test_another_model_or_projection_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    source = workspace.root / "encoder" / "model"
    for name in ("config.json", "pca.safetensors"):
        (tmp_path / name).write_bytes((source / name).read_bytes())
    stored = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**stored, "model_sha256": "0" * 64}))
    with pytest.raises(ArtifactError, match="another encoder"):
        load_encoder(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(stored))
    projection = bytearray((tmp_path / "pca.safetensors").read_bytes())
    projection[-1] ^= 1
    (tmp_path / "pca.safetensors").write_bytes(bytes(projection))
    with pytest.raises(ArtifactError, match=r"pca\.safetensors"):
        load_encoder(tmp_path)
    with pytest.raises(ArtifactError, match=r"config\.json"):
        load_encoder(tmp_path / "absent")


def test_missing_parent_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match="r4t ingest"):
        run(EncoderConfig(), Workspace(tmp_path), seed=0)
    assert not (tmp_path / "encoder").exists()


def test_sets_that_are_items_are_not_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogue, folder = tmp_path / "catalogue", tmp_path / "encoder"
    catalogue.mkdir()
    folder.mkdir()
    write_catalogue(catalogue)
    assert not embed.sets_are_items(catalogue)
    ids, none = [f"i{number}" for number in range(len(ITEMS))], [""] * len(ITEMS)
    sets = {"set_id": ids, "title": ITEMS, "description": none, "item_ids": [[key] for key in ids]}
    pq.write_table(pa.table(sets), catalogue / "sets.parquet")
    asked: list[str] = []

    def batches(config: EncoderConfig, catalogue: Path, kinds: list[embed.Kind], actor: object) -> Iterator[pa.Table]:
        asked.extend(kinds)
        for kind in kinds:
            table = pq.read_table(catalogue / f"{kind}.parquet", columns=[embed.ID_COLUMNS[kind]])
            emb_MD = np.random.default_rng(len(table)).normal(size=(len(table), 8)).astype(np.float32)
            made = embedding_table(table.column(0).to_pylist(), emb_MD)
            yield made.append_column("kind", pa.array([kind] * len(table)))

    monkeypatch.setattr(embed, "model_batches", batches)
    assert embed.embed_catalogue(EncoderConfig(dim=4, runtime="torch"), catalogue, folder) == 2 * len(ITEMS) + len(
        QUERIES
    )
    assert asked == ["items", "queries"]
    assert pq.read_table(folder / "sets.parquet").equals(pq.read_table(folder / "items.parquet"))
    assert not (folder / "native").exists()
    for column, other in (("title", "another"), ("description", "more"), ("set_id", "x")):
        changed = sets | {column: [*sets[column][:-1], other]}
        pq.write_table(pa.table(changed), catalogue / "sets.parquet")
        assert not embed.sets_are_items(catalogue)


def test_an_actor_has_a_thread_per_core_that_it_reserves() -> None:
    before = torch.get_num_threads()
    try:
        for actors, threads in ((Resources(cpus=0.5), 1), (Resources(cpus=1.5), 2), (Resources(cpus=1, threads=3), 3)):
            torch.set_num_threads(4)
            EmbedBatch(EncoderConfig(actors=actors))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
