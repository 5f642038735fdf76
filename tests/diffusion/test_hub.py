from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from r4t_ray.diffusion import DiffusionRetriever, NetworkConfig, NoiseConfig, SamplerConfig
from r4t_ray.errors import ArtifactError, ConfigError, MissingArtifactError, RequestError

NETWORK = NetworkConfig(
    num_rows=5, dim=8, hidden_size=16, mlp_size=16, num_heads=2, num_layers=1, noise_dim=4, num_anchors=0
)
NOISE = NoiseConfig(sigma_data=0.35, sigma_max=40.0, sigma_min=1e-4)
SAMPLER = SamplerConfig(solver="heun", num_steps=4, guidance=0.5, levels="log_uniform")


@pytest.fixture
def retriever() -> DiffusionRetriever:
    torch.manual_seed(0)
    retriever = DiffusionRetriever(NETWORK, NOISE, SAMPLER).eval()
    with torch.no_grad():
        for parameter in retriever.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return retriever


@pytest.fixture(name="z_q_BD")
def queries() -> Tensor:
    return functional.normalize(torch.randn(3, 8, generator=torch.Generator().manual_seed(1)), dim=-1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@torch.no_grad()
def test_denoiser_is_preconditioned(retriever: DiffusionRetriever, z_q_BD: Tensor) -> None:
    """sigma = 0.84 and sd = 0.35 give sqrt(sigma^2 + sd^2) = 0.91."""
    z_BLD, kept_B = torch.randn(3, 5, 8), torch.zeros(3, dtype=torch.bool)
    sigma_B = torch.full((3,), 0.84)
    output_BLD = retriever.network(z_BLD / 0.91, sigma_B.log() / 4, z_q_BD, kept_B)
    by_hand = 0.35**2 / 0.91**2 * z_BLD + 0.84 * 0.35 / 0.91 * output_BLD
    assert float((retriever(z_BLD, sigma_B, z_q_BD, kept_B) - by_hand).abs().max()) < 1e-5


def test_generates_unit_rows_that_repeat_with_the_seed(retriever: DiffusionRetriever, z_q_BD: Tensor) -> None:
    first, again, other = (retriever.generate(z_q_BD, generator=seeded(seed)) for seed in (0, 0, 1))
    assert first.shape == (3, 5, 8)
    assert not first.requires_grad
    assert float((first.norm(dim=-1) - 1).abs().max()) < 1e-5
    assert torch.equal(first, again)
    assert float((first - other).abs().max()) > 1e-2


def test_settings_are_the_defaults_of_a_call(retriever: DiffusionRetriever, z_q_BD: Tensor) -> None:
    default = retriever.generate(z_q_BD, generator=seeded())
    spelled = retriever.generate(z_q_BD, num_steps=4, solver="heun", guidance=0.5, generator=seeded())
    assert torch.equal(default, spelled)
    for change in ({"num_steps": 5}, {"solver": "euler"}, {"guidance": 0.0}):
        assert float((retriever.generate(z_q_BD, generator=seeded(), **change) - default).abs().max()) > 1e-4


def test_a_query_does_not_depend_on_the_others(retriever: DiffusionRetriever, z_q_BD: Tensor) -> None:
    others_BD = torch.cat([z_q_BD[:1], -z_q_BD[1:]])
    first, second = (retriever.generate(queries, generator=seeded()) for queries in (z_q_BD, others_BD))
    assert float((first[0] - second[0]).abs().max()) < 1e-4
    assert float((first[1:] - second[1:]).abs().max()) > 1e-2


def test_saved_and_loaded_is_the_same(retriever: DiffusionRetriever, z_q_BD: Tensor, tmp_path: Path) -> None:
    retriever.save_pretrained(tmp_path)
    assert {"model.safetensors", "config.json"} <= {file.name for file in tmp_path.iterdir()}
    loaded = DiffusionRetriever.from_pretrained(tmp_path)
    assert (loaded.network.config, loaded.noise, loaded.sampler) == (NETWORK, NOISE, SAMPLER)
    assert not loaded.training
    assert all(torch.equal(loaded.state_dict()[name], value) for name, value in retriever.state_dict().items())
    assert torch.equal(retriever.generate(z_q_BD, generator=seeded()), loaded.generate(z_q_BD, generator=seeded()))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named(retriever: DiffusionRetriever, tmp_path: Path, name: str) -> None:
    retriever.save_pretrained(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(MissingArtifactError, match=name):
        DiffusionRetriever.from_pretrained(tmp_path)


def test_a_missing_folder_is_not_looked_up_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(MissingArtifactError, match="train-diffusion"):
        DiffusionRetriever.from_pretrained(str(tmp_path / "absent"))


def test_weights_of_another_shape_are_refused(retriever: DiffusionRetriever, tmp_path: Path) -> None:
    retriever.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["network"]["num_layers"] = 2
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(ArtifactError, match="do not load"):
        DiffusionRetriever.from_pretrained(tmp_path)


def test_truncated_weights_are_refused(retriever: DiffusionRetriever, tmp_path: Path) -> None:
    retriever.save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(ArtifactError, match="do not load"):
        DiffusionRetriever.from_pretrained(tmp_path)


def test_wrong_requests(retriever: DiffusionRetriever, z_q_BD: Tensor) -> None:
    with pytest.raises(RequestError, match=r"\(B, 8\)"):
        retriever.generate(z_q_BD[:, :7])
    with pytest.raises(RequestError, match=r"\(B, 8\)"):
        retriever.generate(z_q_BD[0])
    with pytest.raises(ConfigError, match="dpmpp_2m"):
        retriever.generate(z_q_BD, solver="none")  # type: ignore[arg-type]  # a request could hold it
    with pytest.raises(ConfigError, match="0 steps"):
        retriever.generate(z_q_BD, num_steps=0)
