"""The application over a catalogue that has only items, such as the products of a shop: OAR searches the items."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ray import serve
from ray.serve.handle import DeploymentHandle

from r4t_ray import index
from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import SetsConfig, run
from r4t_ray.embedding_table import embedding_table
from r4t_ray.encoders import EncoderConfig
from r4t_ray.encoders.encoder import fit_projection, project, save_encoder, second_moment
from r4t_ray.errors import RequestError
from r4t_ray.retrieval.request import parse_request
from r4t_ray.retrieval.response import RetrieveResponse
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.app import AppArgs, build_app

from ..conftest import DIM, SEED, NoSettings, build_retrievers

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


@pytest.fixture(scope="module")
def gateway(shop: Workspace) -> DeploymentHandle[RetrieveResponse]:
    """The application's entry, in this process."""
    return serve.run(build_app(AppArgs(workspace=str(shop.root))), name="shop", _local_testing_mode=True)


def test_oar_answers_with_items(gateway: DeploymentHandle[RetrieveResponse], shop: Workspace) -> None:
    request = parse_request(query="something red", k=3, n=4, like=("p1",), avoid=("p0",))
    answer = gateway.retrieve.remote(request).result()
    assert answer == Retriever(shop.root).answer(request)
    assert answer.task == "oar"
    assert [len(direction.items) for direction in answer.directions] == [4, 4, 4]
    assert {item.id: item.text for item in answer.items}.items() <= PRODUCTS.items()
    assert "p0" not in {item.id for item in answer.items}


def test_wscr_is_refused_and_not_offered(gateway: DeploymentHandle[RetrieveResponse]) -> None:
    with pytest.raises(RequestError, match="task: got 'wscr'; expected one of oar"):
        gateway.retrieve.remote(parse_request(query="something red", task="wscr", k=2)).result()
    page = gateway.page.remote().result().body.decode()
    assert '<option value="oar">' in page
    assert '<option value="wscr">' not in page
    health = json.loads(gateway.healthz.remote().result().body)
    assert (health["default_task"], list(health["tasks"])) == ("oar", ["oar"])
