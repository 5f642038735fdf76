"""The generator deployment: a text that the encoder cannot embed fails its own request only."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
import torch

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import DataError
from r4t_ray.retrieval.backend import DirectionGenerator
from r4t_ray.retrieval.request import GenerationRequest
from r4t_ray.retrieval.retriever import Retriever
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.generator import Generator

QUERIES = ("a warm soup", "a cold stew", "a light lunch")


def spoil_stews(directions: DirectionGenerator, value: float) -> None:
    """Every text with the word stew gets a vector of ``value``, as from a model that overflows on it."""
    model = directions.encoder._model._model
    stew = model.tokenizer.convert_tokens_to_ids("stew")

    def spoil(module: Any, inputs: Any, output: dict[str, Any]) -> dict[str, Any]:
        is_stew = (inputs[0]["input_ids"] == stew).any(dim=1)
        output["sentence_embedding"] = torch.where(is_stew[:, None], value, output["sentence_embedding"])
        return output

    model[1].register_forward_hook(spoil)


@pytest.mark.parametrize(("value", "fault"), [(float("nan"), "is not finite"), (0.0, "is 0")])
def test_a_bad_vector_fails_one_request_of_a_batch(tiny_workspace: Workspace, value: float, fault: str) -> None:
    async def outcomes() -> list[Any]:
        generator = Generator.func_or_class(AppArgs(workspace=str(tiny_workspace.root), batch_wait_s=0.05))
        spoil_stews(generator._directions, value)
        requests = [GenerationRequest(task="oar", query=query, seed=0) for query in QUERIES]
        return await asyncio.gather(*map(generator.generate, requests), return_exceptions=True)

    first, refused, last = asyncio.run(outcomes())
    assert isinstance(refused, DataError)
    assert refused.got == f"a vector that {fault} for 1 of 1 texts, the first 'a cold stew'"
    for query, generated in ((QUERIES[0], first), (QUERIES[2], last)):
        alone = DirectionGenerator.load(tiny_workspace, AppArgs())([GenerationRequest(task="oar", query=query, seed=0)])
        assert np.abs(generated.z_LD - alone[0].z_LD).max() < 1e-5


def test_a_bad_vector_of_a_term_is_refused_in_one_process(tiny_workspace: Workspace) -> None:
    retriever = Retriever(tiny_workspace.root)
    spoil_stews(retriever._source._backend.generator, float("nan"))  # type: ignore[union-attr]
    with pytest.raises(DataError, match="a vector that is not finite for 1 of 2 texts, the first 'stew'"):
        retriever.retrieve("a warm soup", avoid=["stew"], k=2)
    assert len(retriever.retrieve("a warm soup", k=2).directions) == 2
