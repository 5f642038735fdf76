"""Bodies that the gateway refuses, a workspace made without Ray, and a client of a server in this process."""

from __future__ import annotations

import inspect
import json
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from ray import serve

from r4t_ray import index
from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import SetsConfig, run
from r4t_ray.embedding_table import embedding_table
from r4t_ray.encoders import EncoderConfig
from r4t_ray.encoders.encoder import fit_projection, project, save_encoder, second_moment
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.keys import Key
from r4t_ray.types import TASKS

from ..conftest import DIM, SEED, NoSettings, build_retrievers

BAD_BODIES: dict[str, tuple[bytes, int, str]] = {
    "empty body": (b"", 422, "body"),
    "not JSON": (b"query=dinner", 400, "body, character 0"),
    "cut JSON": (b'{"query": "din', 400, "body, character 10"),
    "not UTF-8": (b'{"query": "\xff\xfe"}', 400, "POST /v1/retrieve"),
    "a list": (b'["dinner"]', 422, "body"),
    "null": (b"null", 422, "body"),
    "deep": (b"[" * 10_000 + b"]" * 10_000, 400, "POST /v1/retrieve"),
    "200 kB": (json.dumps({"query": "x" * 200_000}).encode(), 413, "body of POST /v1/retrieve"),
    "3,000 characters": (json.dumps({"query": "x" * 3_000}).encode(), 422, "query"),
    "empty query": (b'{"query": ""}', 422, "query"),
    "blank query": (b'{"query": " \\n\\t "}', 422, "query"),
    "no query": (b"{}", 422, "query"),
    "lone surrogate": (b'{"query": "\\ud800"}', 422, "query"),
    "surrogate key": (b'{"query": "dinner", "\\ud800": 1}', 422, "body"),
    "k = 0": (b'{"query": "dinner", "k": 0}', 422, "k"),
    "k above L": (b'{"query": "dinner", "k": 7}', 422, "k"),
    "k as text": (b'{"query": "dinner", "k": "3"}', 422, "k"),
    "k infinite": (b'{"query": "dinner", "k": 1e999}', 422, "k"),
    "k NaN": (b'{"query": "dinner", "k": NaN}', 422, "k"),
    "huge integer": (b'{"query": "dinner", "k": ' + b"9" * 6_000 + b"}", 400, "POST /v1/retrieve"),
    "n = 0": (b'{"query": "dinner", "n": 0}', 422, "n"),
    "n too large": (b'{"query": "dinner", "n": 1001}', 422, "n"),
    "seed negative": (b'{"query": "dinner", "seed": -1}', 422, "seed"),
    "seed too large": (b'{"query": "dinner", "seed": 9223372036854775808}', 422, "seed"),
    "unknown task": (b'{"query": "dinner", "task": "music"}', 422, "task"),
    "17 likes": (json.dumps({"query": "dinner", "like": ["soup"] * 17}).encode(), 422, "like"),
    "an empty term": (b'{"query": "dinner", "avoid": ["soup", " "]}', 422, "avoid.1"),
    "a term too long": (json.dumps({"query": "dinner", "like": ["x" * 201]}).encode(), 422, "like.0"),
    "strength negative": (b'{"query": "dinner", "strength": -1}', 422, "strength"),
    "temperature infinite": (b'{"query": "dinner", "temperature": 1e999}', 422, "temperature"),
    "a number as text": (b'{"query": "dinner", "strength": "1"}', 422, "strength"),
    "true as a number": (b'{"query": "dinner", "temperature": true}', 422, "temperature"),
    "unknown field": (b'{"query": "dinner", "top_k": 3}', 422, "top_k"),
}
"""Name -> body of POST /v1/retrieve, the status of its refusal, and where the error points."""


PRODUCTS = {
    f"p{number}": f"{colour} linen {kind}"
    for number, (colour, kind) in enumerate(
        (colour, kind) for colour in ("red", "blue", "green", "black") for kind in ("shirt", "dress", "scarf", "skirt")
    )
}


TIES = {f"n{number}": f"{colour} silk tie" for number, colour in enumerate(("red", "blue", "green", "black"))}


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The products, ingested, embedded and indexed, with a retriever of random weights for OAR."""
    return build_shop(
        tmp_path_factory.mktemp("shop"), [{"item_id": key, "text": text} for key, text in PRODUCTS.items()]
    )


@pytest.fixture(scope="session")
def new_shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    items = [{"item_id": key, "text": text} for key, text in TIES.items()]
    return build_shop(tmp_path_factory.mktemp("new"), items).root


@pytest.fixture
def old(shop: Workspace, new_shop: Path, tmp_path: Path) -> Workspace:
    """The workspace with which the server starts; `new` lies beside it."""
    shutil.copytree(shop.root, tmp_path / "old")
    shutil.copytree(new_shop, tmp_path / "new")
    return Workspace(tmp_path / "old")


def build_shop(root: Path, items: list[dict[str, Any]], sets: list[dict[str, Any]] | None = None) -> Workspace:
    """A workspace with retrievers of random weights, made without Ray; with sets it serves WSCR too."""
    for name, rows in (("items", items), ("sets", sets or [])):
        (root / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    workspace = Workspace(root / "workspace")
    run(SetsConfig(items=root / "items.jsonl", sets=root / "sets.jsonl" if sets else None), workspace, SEED)
    workspace.build("encoder", NoSettings(), SEED, ["catalogue"], lambda folder: embed(workspace, folder))
    index.run(index.IndexConfig(type="flat"), workspace, SEED)
    build_retrievers(workspace, tasks=TASKS if sets else ("oar",))
    return workspace


def embed(workspace: Workspace, folder: Path) -> int:
    """The stage embed without Ray."""
    config = EncoderConfig(dim=DIM)
    encoder = config.build()
    tables = {kind: pq.read_table(workspace.artifact("catalogue").file(f"{kind}.parquet")) for kind in KINDS}
    projection_Dd = fit_projection(second_moment(encoder.encode(tables["items"]["text"].to_pylist())), DIM)
    for kind, (key, text) in KINDS.items():
        emb_MD = project(encoder.encode(tables[kind][text].to_pylist()), projection_Dd)
        pq.write_table(embedding_table(tables[kind][key].to_pylist(), emb_MD), folder / f"{kind}.parquet")
    save_encoder(folder / "model", config, projection_Dd)
    return 3


KINDS = {"items": ("item_id", "text"), "sets": ("set_id", "title"), "queries": ("query_id", "text")}
"""Table of the catalogue -> its columns with ids and texts."""


CHANGES = ("upsert", "delete", "snapshot", "activate", "serve_from")
"""Methods of the writer."""


@asynccontextmanager
async def client_in_process(
    generator: Any, args: AppArgs, monkeypatch: pytest.MonkeyPatch, keys: tuple[Key, ...] = ()
) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the gateway of ``args``, which calls ``generator`` and searches the index in this process."""
    from r4t_ray.serve.gateway import api

    with placed_gateway(generator, args, monkeypatch, keys):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=api), base_url="http://test") as client:
            yield client


@contextmanager
def placed_gateway(
    generator: Any, args: AppArgs, monkeypatch: pytest.MonkeyPatch, keys: tuple[Key, ...] = ()
) -> Iterator[Any]:
    """The gateway of ``args``, which the routes call; its handles call ``generator`` and a writer in this process.

    Without a generator the gateway loads the models itself. A language model is loaded if ``args`` deploy one.
    """
    from r4t_ray.serve.gateway import Gateway
    from r4t_ray.serve.language_model import LanguageModel
    from r4t_ray.serve.writer import Writer

    def handle(replica: Any, *methods: str) -> SimpleNamespace:
        def method(name: str) -> SimpleNamespace:
            async def remote(*args: Any) -> Any:
                reply = getattr(replica, name)(*args)
                return await reply if inspect.isawaitable(reply) else reply

            return SimpleNamespace(remote=remote)

        def broadcast(name: str, *args: Any) -> SimpleNamespace:
            return SimpleNamespace(results_async=lambda: method(name).remote(*args))

        return SimpleNamespace(broadcast=broadcast, **{name: method(name) for name in methods})

    handles = generator and handle(generator, "generate", "generate_all", "embed", "ready")
    written = handle(LanguageModel.func_or_class(args), "write", "ready") if args.language_model else None
    writer = Writer.func_or_class(args, [held for held in (handles, written) if held], {})
    deployed: dict[str, list[Any]] = {"oar": [], "wscr": [], "decoder": []}
    gateway_class = Gateway.func_or_class.__mro__[1]  # the class inside Serve's wrapper
    gateway = gateway_class(args, handles, handle(writer, *CHANGES), deployed, keys, written)
    deployment = SimpleNamespace(max_ongoing_requests=args.generator.max_ongoing_requests)
    replica = SimpleNamespace(servable_object=gateway, _deployment_config=deployment)
    monkeypatch.setattr(serve, "get_replica_context", lambda: replica)
    monkeypatch.setattr(serve, "get_deployment_handle", lambda name: handle(gateway))
    yield gateway
    writer.close()
