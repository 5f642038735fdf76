"""Vectors that a catalogue brings along, with their encoder named by a hub id, against a hub on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from r4t_ray.embedding_table import read_embedding_table
from r4t_ray.encoders import EncoderConfig, resolve_model
from tests.encoders.hub_server import serving_models

MODEL_ID = "owner/mini"
TEXTS = [f"{color} {thing}" for color in ("red", "blue", "green", "white") for thing in ("lamp", "chair", "cup", "rug")]


@pytest.mark.slow  # three processes with a Ray each
def test_a_hub_id_is_fetched_once_and_given_vectors_keep_their_cosines(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = Path(resolve_model(EncoderConfig().model))
    given_MD = np.asarray(SentenceTransformer(str(folder)).encode(TEXTS, normalize_embeddings=True))
    rows = [
        {"item_id": text, "text": text, "embedding": row.tolist()} for text, row in zip(TEXTS, given_MD, strict=True)
    ]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    config = {
        "catalogue": {"type": "sets", "items": "items.jsonl"},
        "encoder": {"model": MODEL_ID, "dim": 16, "runtime": "torch"},
    }
    (tmp_path / "my.yaml").write_text(json.dumps(config), encoding="utf-8")
    env = os.environ | {"HF_HOME": str(tmp_path / "hf")}

    def r4t(stage: str, workspace: str, hub: str | None = None) -> None:
        online = "0" if hub else "1"
        variables = {"HF_HUB_OFFLINE": online, "TRANSFORMERS_OFFLINE": online} | ({"HF_ENDPOINT": hub} if hub else {})
        command = [sys.executable, "-m", "r4t_ray.cli", stage, "my.yaml", "--workspace", workspace]
        subprocess.run(command, cwd=tmp_path, env=env | variables, check=True, timeout=280)

    with serving_models({MODEL_ID: folder}) as hub:
        r4t("ingest", "one", hub.url)
        r4t("embed", "one", hub.url)
        assert sum(line.startswith("GET") and line.endswith("/model.safetensors") for line in hub.seen) == 1
    r4t("ingest", "two")
    r4t("embed", "two")  # from the cache
    for workspace in ("one", "two"):
        ids, emb_MD = read_embedding_table(tmp_path / workspace / "encoder" / "items.parquet")
        assert ids == TEXTS
        np.testing.assert_allclose(emb_MD @ emb_MD.T, given_MD @ given_MD.T, atol=1e-3)  # 16 texts: 16 dimensions
