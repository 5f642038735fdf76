"""A text that the encoder cannot embed fails its own request: in a batch of the generator, and in one process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import DataError
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.generator import Generator
from r4t_ray.types import Array

from .conftest import client_in_process


class NoStews:
    """An encoder that refuses the word stew, as ``SentenceEncoder`` refuses a text whose vector is not finite."""

    def __init__(self, encoder: Any) -> None:
        self._encoder = encoder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._encoder, name)

    def encode(self, texts: Sequence[str], kinds: Any) -> Array:
        for text in texts:
            if "stew" in text:
                raise DataError("encoder.model 'm'", f"a vector that is not finite for '{text}'", "a vector", "edit")
        emb_ND: Array = self._encoder.encode(texts, kinds)
        return emb_ND


def test_a_bad_vector_fails_one_request_of_a_batch(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    args, gate = AppArgs(workspace=str(shop.root)), threading.Event()

    async def replies() -> list[httpx.Response]:
        generator = Generator.func_or_class(args)
        directions = generator._loaded[str(shop.root)]
        directions.encoder = NoStews(directions.encoder)
        generator._worker.submit(gate.wait, 30)  # the first request waits, and the others become one batch
        async with client_in_process(generator, args, monkeypatch) as client:
            queries = ("a warm soup", "a red shirt", "a cold stew", "a blue scarf")
            bodies = [{"query": query, "k": 2, "n": 3} for query in queries]
            async with asyncio.timeout(60):
                sent = [asyncio.create_task(client.post("/v1/retrieve", json=bodies[0]))]
                while generator._batches._running is None or generator._batches._waiting:
                    await asyncio.sleep(0.01)
                sent += [asyncio.create_task(client.post("/v1/retrieve", json=body)) for body in bodies[1:]]
                while len(generator._batches._waiting) < 3:
                    await asyncio.sleep(0.01)
                gate.set()
                return await asyncio.gather(*sent)

    _, first, refused, last = asyncio.run(replies())
    assert refused.status_code == 502
    error = refused.json()["error"]
    assert (error["where"], error["got"]) == ("/v1/retrieve", "a vector that is not finite for 'a cold stew'")
    alone = Retriever(shop.root)
    for query, reply in (("a red shirt", first), ("a blue scarf", last)):
        answer = alone.retrieve(query, k=2, n=3)
        assert [item["id"] for item in reply.json()["items"]] == [item.id for item in answer.items]


def test_a_bad_vector_of_a_term_is_refused_in_one_process(shop: Workspace) -> None:
    retriever = Retriever(shop.root)
    generator: Any = retriever._source._backend.generator  # type: ignore[union-attr]
    generator.encoder = NoStews(generator.encoder)
    with pytest.raises(DataError, match="not finite for 'stew'"):
        retriever.retrieve("a warm soup", avoid=["stew"], k=2)
    assert len(retriever.retrieve("a warm soup", k=2).directions) == 2
