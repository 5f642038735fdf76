"""The application over a catalogue that has only items, such as the products of a shop: OAR searches the items."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pyarrow.parquet as pq
import pytest

from r4t_ray import index
from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import SetsConfig, run
from r4t_ray.embedding_table import embedding_table
from r4t_ray.encoders import EncoderConfig
from r4t_ray.encoders.encoder import fit_projection, project, save_encoder, second_moment
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.app import AppArgs, build_app
from r4t_ray.serve.generator import Generator

from ..conftest import DIM, SEED, NoSettings, build_retrievers
from .conftest import client_in_process

PRODUCTS = {
    f"p{number}": f"{colour} linen {kind}"
    for number, (colour, kind) in enumerate(
        (colour, kind) for colour in ("red", "blue", "green", "black") for kind in ("shirt", "dress", "scarf", "skirt")
    )
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The products, ingested, embedded and indexed, with a retriever of random weights for OAR."""
    root = tmp_path_factory.mktemp("shop")
    rows = [json.dumps({"item_id": key, "text": text}) for key, text in PRODUCTS.items()]
    (root / "items.jsonl").write_text("\n".join(rows), encoding="utf-8")
    workspace = Workspace(root / "workspace")
    run(SetsConfig(items=root / "items.jsonl"), workspace, SEED)
    workspace.build("encoder", NoSettings(), SEED, ["catalogue"], lambda folder: embed(workspace, folder))
    index.run(index.IndexConfig(type="flat"), workspace, SEED)
    build_retrievers(workspace, tasks=("oar",))
    return workspace


def embed(workspace: Workspace, folder: Path) -> int:
    """The stage embed without Ray."""
    config = EncoderConfig(dim=DIM)
    encoder = config.build()
    projection_Dd = fit_projection(second_moment(encoder.encode([*PRODUCTS.values()])), DIM)
    for kind, (key, text) in {
        "items": ("item_id", "text"), "sets": ("set_id", "title"), "queries": ("query_id", "text"),
    }.items():  # fmt: skip
        table = pq.read_table(workspace.artifact("catalogue").file(f"{kind}.parquet"))
        emb_MD = project(encoder.encode(table[text].to_pylist()), projection_Dd)
        pq.write_table(embedding_table(table[key].to_pylist(), emb_MD), folder / f"{kind}.parquet")
    save_encoder(folder / "model", config, projection_Dd)
    return 3


def test_the_server_answers_with_items_and_offers_oar_alone(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    args = AppArgs(workspace=str(shop.root))
    build_app(args)
    body = {"query": "something red", "k": 3, "n": 4, "like": ["p1"], "avoid": ["p0"]}

    async def replies() -> tuple[httpx.Response, ...]:
        async with client_in_process(Generator.func_or_class(args), args, monkeypatch) as client:
            asked = [client.post("/v1/retrieve", json=body | {"task": task}) for task in (None, "wscr")]
            return tuple(await asyncio.gather(*asked, client.get("/healthz"), client.get("/")))

    answer, refused, health, page = asyncio.run(replies())
    assert answer.json() == Retriever(shop.root).answer(parse_request(**body)).model_dump()
    assert answer.json()["task"] == "oar"
    assert [len(direction["items"]) for direction in answer.json()["directions"]] == [4, 4, 4]
    found = {item["id"]: item["text"] for item in answer.json()["items"]}
    assert found.items() <= PRODUCTS.items()
    assert "p0" not in found
    assert (refused.status_code, refused.json()["error"]["expected"]) == (422, "one of oar")
    assert (health.json()["default_task"], list(health.json()["tasks"])) == ("oar", ["oar"])
    assert '<option value="oar">' in page.text
    assert '<option value="wscr">' not in page.text
