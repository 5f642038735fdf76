"""The model card of a retriever, from its weights and settings and with given facts."""

from __future__ import annotations

from pathlib import Path

from r4t_ray.diffusion import DiffusionRetriever, NetworkConfig, NoiseConfig, SamplerConfig
from r4t_ray.diffusion.model_card import weights_facts

NETWORK = NetworkConfig(
    num_rows=5, dim=8, hidden_size=16, mlp_size=16, num_heads=2, num_layers=1, noise_dim=4, num_anchors=0
)


def test_a_saved_retriever_has_its_settings_in_the_card(tmp_path: Path) -> None:
    DiffusionRetriever(
        NETWORK, NoiseConfig(sigma_max=40.0, sigma_min=1e-4), SamplerConfig(solver="heun")
    ).save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    head, _, body = card.removeprefix("---\n").partition("---\n")
    assert "library_name: r4t-ray" in head
    for line in ("| network.num_rows | 5 |", "| noise.sigma_max | 40.0 |", "| sampler.solver | heun |"):
        assert line in body.splitlines()
    assert "to unit rows (B, 5, 8)" in body
    assert body.count("Not recorded.") == body.count("Not measured.") == 1
    assert "{{" not in card


def test_facts_replace_the_placeholders(tmp_path: Path) -> None:
    retriever = DiffusionRetriever(NETWORK)
    retriever.save_pretrained(tmp_path, model_card_kwargs={"title": "Dinner", "data": "salt & <b>", "measured": "1.0"})
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "# Dinner\n" in card
    assert "## Data\n\nsalt & <b>\n" in card
    assert "## Measured\n\n1.0" in card
    assert "Not " not in card


def test_a_card_says_that_the_weights_hold_a_log() -> None:
    parts = NoiseConfig(sigma_min=1e-4, sigma_max=80.0), SamplerConfig(), 1
    said = weights_facts(NETWORK.model_copy(update={"num_keys": 1200}), *parts)["remembered"]
    assert "embeddings of 1,200 queries of a log" in str(said)
    assert weights_facts(NETWORK, *parts)["remembered"] == ""


def test_parameter_counts_have_thousands_separators() -> None:
    facts = weights_facts(NETWORK, NoiseConfig(sigma_min=1e-4, sigma_max=80.0), SamplerConfig(), 1_234_567)
    assert facts["num_parameters"] == "1,234,567"
