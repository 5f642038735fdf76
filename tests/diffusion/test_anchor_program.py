"""The program that serves `top_anchors` gives the rows of torch, or it is not written."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from r4t_ray import onnx_export
from r4t_ray.diffusion import PROGRAM, DiffusionRetriever, NetworkConfig, NoiseConfig, SamplerConfig, anchor_program
from r4t_ray.diffusion.anchor_program import AnchorProgram, write_program
from r4t_ray.retrieval.backend import DirectionGenerator
from r4t_ray.retrieval.generation import GenerationRequest

NUM_ROWS, DIM, NUM_ANCHORS = 3, 8, 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A retriever with a memory, a bound and a weight of diversity, as the ones that are trained; with its program."""
    torch.manual_seed(0)
    network = NetworkConfig(
        num_rows=NUM_ROWS, dim=DIM, hidden_size=8, mlp_size=8, num_heads=2, num_layers=1, noise_dim=4,
        num_anchors=NUM_ANCHORS, prior="nearness", num_keys=3, num_key_entries=2,
    )  # fmt: skip
    sampler = SamplerConfig(solver="top_anchors", diversity=1.5, candidates=4)
    retriever = DiffusionRetriever(network, NoiseConfig(), sampler)
    with torch.no_grad():
        mixture = retriever.mixture
        mixture.anchors_ND.copy_(queries(NUM_ANCHORS))
        mixture.bias_N.copy_(torch.randn(NUM_ANCHORS))
        mixture.memory.keys_TD.copy_(queries(3))
        mixture.memory.entries_TR.copy_(torch.tensor([[0, -1], [1, 2], [3, -1]]))
    path = tmp_path_factory.mktemp("program") / "oar"
    retriever.save_pretrained(path)
    assert write_program(path, queries(64)) is None
    return path


def queries(num: int) -> Tensor:
    return functional.normalize(torch.randn(num, DIM, generator=torch.Generator().manual_seed(num)), dim=-1)


def test_the_program_gives_the_rows_of_torch_for_any_batch(folder: Path) -> None:
    program, retriever = AnchorProgram(folder / PROGRAM, 1), DiffusionRetriever.from_pretrained(folder).eval()
    assert program.num_rows == NUM_ROWS
    for batch in (1, 7, 64):
        rows_BLD = program(queries(batch).numpy())
        assert np.abs(rows_BLD - retriever.generate(queries(batch)).numpy()).max() < 1e-5
    assert len({rows_LD.tobytes() for rows_LD in rows_BLD}) > 10


def test_a_program_with_other_rows_is_not_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    retriever = DiffusionRetriever.from_pretrained(folder)
    retriever.with_sampler(retriever.sampler.model_copy(update={"candidates": None})).save_pretrained(tmp_path)
    before = sorted(tmp_path.iterdir())
    monkeypatch.setattr(anchor_program, "export_top_anchors", lambda _, path: shutil.copyfile(folder / PROGRAM, path))
    assert "differ by" in str(write_program(tmp_path, queries(64)))
    monkeypatch.setattr(anchor_program, "export_top_anchors", refuse)
    assert write_program(tmp_path, queries(64)) == "ONNX cannot hold it (RuntimeError: no such operator)"
    monkeypatch.setattr(onnx_export, "EXPORTERS", ("onnx", "no_such_exporter"))
    assert write_program(tmp_path, queries(64)) == "the packages no_such_exporter are not installed"
    assert sorted(tmp_path.iterdir()) == before


def refuse(retriever: DiffusionRetriever, path: Path) -> None:
    path.write_bytes(b"half")
    raise RuntimeError("no such operator\nand more")


def test_torch_answers_what_the_program_cannot(folder: Path) -> None:
    """Steered requests, those that leave entries out, and those for more rows."""
    program, retriever = AnchorProgram(folder / PROGRAM, 1), DiffusionRetriever.from_pretrained(folder).eval()
    asked: list[int] = []

    class Counted:
        num_rows = program.num_rows

        def __call__(self, z_q_BD: np.ndarray) -> np.ndarray:
            asked.append(len(z_q_BD))
            return program(z_q_BD)

    encoder = SimpleNamespace(encode=lambda texts, kinds: queries(64).numpy()[[len(text) for text in texts]])
    parts: Any = (encoder, {"oar": retriever}, {"oar": retriever.sampler}, {"oar": np.arange(NUM_ANCHORS)})
    fast, plain = DirectionGenerator(*parts, {"oar": Counted()}), DirectionGenerator(*parts)  # type: ignore[dict-item]
    one = GenerationRequest(task="oar", query="a pie", seed=0, k=2)
    evens_M = np.arange(NUM_ANCHORS) % 2 == 0
    others = [replace(one, temperature=2.0), replace(one, k=7), replace(one, allowed_M=evens_M)]
    for requests in ([one, replace(one, query="a large pie", k=3)], *([other] for other in others)):
        for left, right in zip(fast(requests), plain(requests), strict=True):
            assert left.z_LD.shape == right.z_LD.shape
            assert np.abs(left.z_LD - right.z_LD).max() < 1e-5
    assert asked == [2]
