"""A text that the encoder cannot embed fails its own request: in a batch of the generator, and in one process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import DataError
from r4t_ray.retrieval.backend import DirectionGenerator
from r4t_ray.retrieval.request import GenerationRequest
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.generator import Generator
from r4t_ray.types import Array

QUERIES = ("a warm soup", "a cold stew", "a light lunch")


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


def test_a_bad_vector_fails_one_request_of_a_batch(tiny_workspace: Workspace) -> None:
    requests = [GenerationRequest(task="oar", query=query, seed=0) for query in QUERIES]

    async def outcomes() -> list[Any]:
        generator = Generator.func_or_class(AppArgs(workspace=str(tiny_workspace.root), batch_wait_s=0.05))
        generator._directions.encoder = NoStews(generator._directions.encoder)
        return await asyncio.gather(*map(generator.generate, requests), return_exceptions=True)

    first, refused, last = asyncio.run(outcomes())
    assert isinstance(refused, DataError)
    assert refused.got == "a vector that is not finite for 'a cold stew'"
    alone = DirectionGenerator.load(tiny_workspace, AppArgs())
    for request, generated in ((requests[0], first), (requests[2], last)):
        assert np.abs(generated.z_LD - alone([request])[0].z_LD).max() < 1e-5


def test_a_bad_vector_of_a_term_is_refused_in_one_process(tiny_workspace: Workspace) -> None:
    retriever = Retriever(tiny_workspace.root)
    generator: Any = retriever._source._backend.generator  # type: ignore[union-attr]
    generator.encoder = NoStews(generator.encoder)
    with pytest.raises(DataError, match="not finite for 'stew'"):
        retriever.retrieve("a warm soup", avoid=["stew"], k=2)
    assert len(retriever.retrieve("a warm soup", k=2).directions) == 2
