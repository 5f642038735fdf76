"""An exported program that was saved and loaded gives the same rows as its retriever."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from r4t_ray import onnx_export
from r4t_ray.diffusion import DiffusionRetriever, NetworkConfig, NoiseConfig, SamplerConfig, SolverName, export
from r4t_ray.diffusion.denoiser import QueryDenoiser
from r4t_ray.diffusion.generation import solve
from r4t_ray.diffusion.samplers import euler
from r4t_ray.diffusion.schedule import sampling_sigmas
from r4t_ray.diffusion.transforms import Guided
from r4t_ray.errors import ConfigError

NUM_ROWS, DIM, NUM_STEPS = 5, 8, 4
BATCHES = (1, 3, 8)


def make_retriever(num_anchors: int, solver: SolverName = "euler", num_keys: int = 0) -> DiffusionRetriever:
    """A retriever with random weights, so that every part of the network acts; Euler with guidance 0.5."""
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "mlp_size": 16, "num_heads": 2, "num_layers": 1, "noise_dim": 4}
    if num_keys:
        shape |= {"prior": "nearness", "num_keys": num_keys, "num_key_entries": 2}
    network = NetworkConfig(num_rows=NUM_ROWS, dim=DIM, num_anchors=num_anchors, **shape)
    sampler = SamplerConfig(solver=solver, num_steps=NUM_STEPS, guidance=0.5)
    retriever = DiffusionRetriever(network, NoiseConfig(sigma_data=0.35, sigma_max=2.0, sigma_min=0.1), sampler)
    with torch.no_grad():
        for parameter in retriever.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        if retriever.mixture is not None:
            retriever.mixture.anchors_ND.copy_(functional.normalize(torch.randn(num_anchors, DIM), dim=-1))
            if retriever.mixture.memory is not None:
                retriever.mixture.memory.keys_TD.copy_(functional.normalize(torch.randn(num_keys, DIM), dim=-1))
                retriever.mixture.memory.entries_TR.copy_(torch.tensor([[number, -1] for number in range(num_keys)]))
    return retriever.eval()


def make_queries(num: int) -> Tensor:
    return functional.normalize(torch.randn(num, DIM, generator=torch.Generator().manual_seed(num)), dim=-1)


def one_step(retriever: DiffusionRetriever, noise_BLD: Tensor, z_q_BD: Tensor) -> Tensor:
    return solve(retriever, noise_BLD, z_q_BD, SamplerConfig(solver="one_step"))


def load(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options)


def sample(step: onnxruntime.InferenceSession, retriever: DiffusionRetriever, z_q_BD: Tensor) -> Tensor:
    """The loop of the module docstring in numpy, from the noise that ``generate`` samples with seed 0."""
    sigmas_S = sampling_sigmas(retriever.sampler.levels, NUM_STEPS, retriever.noise).numpy().astype(np.float32)
    noise_BLD = torch.randn((len(z_q_BD), NUM_ROWS, DIM), generator=torch.Generator().manual_seed(0)).numpy()
    z_BLD = sigmas_S[0] * noise_BLD
    for sigma, sigma_next in pairwise(sigmas_S):
        inputs = {"z_BLD": z_BLD, "sigma": np.array(sigma), "sigma_next": np.array(sigma_next)}
        (z_BLD,) = step.run(["z_next_BLD"], inputs | {"z_q_BD": z_q_BD.numpy()})
    return torch.from_numpy(z_BLD / np.linalg.norm(z_BLD, axis=-1, keepdims=True))


@torch.no_grad()
def sample_in_float64(retriever: DiffusionRetriever, z_q_BD: Tensor, guidance: float | None) -> Tensor:
    """The same sampling without the rounding of float32."""
    exact, strength = deepcopy(retriever).double(), retriever.sampler.guidance if guidance is None else guidance
    sigmas_S = sampling_sigmas(retriever.sampler.levels, NUM_STEPS, retriever.noise)
    noise_BLD = torch.randn((len(z_q_BD), NUM_ROWS, DIM), generator=torch.Generator().manual_seed(0)).double()
    queries = QueryDenoiser(exact, z_q_BD.double())
    denoise = Guided(queries, strength) if strength else queries
    return functional.normalize(euler(denoise, sigmas_S[0] * noise_BLD, sigmas_S), dim=-1)


@pytest.mark.parametrize(
    ("num_anchors", "guidance"),
    [
        pytest.param(0, 0.0, id="unguided", marks=pytest.mark.slow),
        pytest.param(0, None, id="guided as trained"),
        pytest.param(7, 0.0, id="unguided, anchors"),
        pytest.param(7, None, id="guided as trained, anchors", marks=pytest.mark.slow),
    ],
)
def test_a_loop_of_exported_steps_equals_generate(num_anchors: int, guidance: float | None, tmp_path: Path) -> None:
    retriever = make_retriever(num_anchors)
    export.export_step(retriever, tmp_path / "step.onnx", guidance)
    assert [file.name for file in tmp_path.iterdir()] == ["step.onnx"]
    step = load(tmp_path / "step.onnx")
    for batch in BATCHES:
        z_q_BD = make_queries(batch)
        expected = retriever.generate(z_q_BD, guidance=guidance, generator=torch.Generator().manual_seed(0))
        # A row between two anchors magnifies rounding: there the error of `generate` itself is 1.1e-5.
        rounding_BL1 = (expected - sample_in_float64(retriever, z_q_BD, guidance)).abs().amax(dim=-1, keepdim=True)
        assert float(rounding_BL1.max()) < 2e-5
        assert bool(((sample(step, retriever, z_q_BD) - expected).abs() < 1e-5 + 2 * rounding_BL1).all())
        # The bound distinguishes answers: the rows of the other queries are outside it.
        assert float((sample(step, retriever, -z_q_BD) - expected).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("sampler", "num_keys"),
    [({}, 0), ({"diversity": 1.5, "candidates": 2}, 0), ({"diversity": 1.5, "candidates": 2}, 3)],
)
def test_exported_top_anchors(sampler: dict[str, float], num_keys: int, tmp_path: Path) -> None:
    retriever = make_retriever(7, num_keys=num_keys)
    retriever = retriever.with_sampler(retriever.sampler.model_copy(update=sampler))
    export.export_top_anchors(retriever, tmp_path / "top_anchors.onnx")
    top_anchors = load(tmp_path / "top_anchors.onnx")
    answers = set()
    for batch in BATCHES:
        z_q_BD = make_queries(batch)
        (z_BLD,) = top_anchors.run(["z_BLD"], {"z_q_BD": z_q_BD.numpy()})
        assert float((torch.from_numpy(z_BLD) - retriever.generate(z_q_BD, solver="top_anchors")).abs().max()) < 1e-5
        answers |= {z_LD.tobytes() for z_LD in z_BLD}
    assert len(answers) > 1
    bounded, free = (
        retriever.with_sampler(retriever.sampler.model_copy(update={"diversity": 1.5, "candidates": num}))
        for num in (2, None)
    )
    both = [each.generate(make_queries(8), solver="top_anchors") for each in (bounded, free)]
    assert num_keys or not torch.equal(*both)


@pytest.mark.parametrize("num_anchors", [pytest.param(0, marks=pytest.mark.slow), 7])
def test_exported_one_step(num_anchors: int, tmp_path: Path) -> None:
    retriever = make_retriever(num_anchors, "one_step")
    export.export_one_step(retriever, tmp_path / "student.onnx")
    student = load(tmp_path / "student.onnx")
    for batch in BATCHES:
        z_q_BD, noise_BLD = make_queries(batch), torch.randn(batch, NUM_ROWS, DIM)
        (z_BLD,) = student.run(["z_BLD"], {"noise_BLD": noise_BLD.numpy(), "z_q_BD": z_q_BD.numpy()})
        # Each row is one of 7 anchors, so a wrong row differs by the distance of two anchors.
        assert float((torch.from_numpy(z_BLD) - one_step(retriever, noise_BLD, z_q_BD)).abs().max()) < 1e-5
        for others in ((-noise_BLD, z_q_BD), (noise_BLD, -z_q_BD)):
            assert float((torch.from_numpy(z_BLD) - one_step(retriever, *others)).abs().max()) > 1e-3


def test_export_of_one_step_needs_a_student(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="solver euler; expected a one-step student"):
        export.export_one_step(make_retriever(7), tmp_path / "student.onnx")
    assert list(tmp_path.iterdir()) == []


def test_top_anchors_needs_anchors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="num_anchors"):
        export.export_top_anchors(make_retriever(0), tmp_path / "top_anchors.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_exporter_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_export, "EXPORTERS", ("onnx", "no_such_exporter"))
    with pytest.raises(ConfigError, match=r"no_such_exporter.*r4t-ray\[onnx\]"):
        export.export_step(make_retriever(0), tmp_path / "step.onnx")
