"""An experiment's settings: presets, a description under each, and the shipped YAML files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from r4t_ray.config import load_settings, parse_settings
from r4t_ray.config.fields import all_fields
from r4t_ray.config.presets import over_preset
from r4t_ray.errors import ConfigError
from r4t_ray.experiment import Experiment

CATALOGUE = {"type": "sets", "items": "items.jsonl", "sets": "sets.jsonl"}
CONFIGS = sorted((Path(__file__).parents[1] / "jobs" / "configs").glob("*.yaml"))


def test_every_setting_has_a_description() -> None:
    missing = [
        f"{field.owner.__module__}.{field.owner.__name__}.{field.name}"
        for field in all_fields(Experiment)
        if not re.fullmatch(r"[A-Z`0-9_a-z].{8,}\.", field.info.description or "", re.DOTALL)
    ]
    assert not missing


def test_only_the_catalogue_is_required() -> None:
    experiment = parse_settings(Experiment, {"catalogue": CATALOGUE}, "here")
    assert experiment.preset == "small"
    assert parse_settings(Experiment, {"catalogue": CATALOGUE, "preset": "small"}, "here") == experiment


def test_paper_is_the_table_of_the_paper() -> None:
    paper = parse_settings(Experiment, {"catalogue": CATALOGUE, "preset": "paper"}, "here")
    assert (paper.diffusion.optimizer.num_steps, paper.diffusion.optimizer.batch_size) == (10_000_000, 512)
    assert (paper.diffusion.network.num_layers, paper.diffusion.network.num_heads) == (6, 16)
    assert (paper.pairs.num_samples, paper.pairs.num_rows, paper.folm.k) == (128, 12, 10)
    assert (paper.pairs.num_recombined.oar, paper.pairs.num_recombined.wscr) == (0, 0)


def test_fast_is_small_without_a_language_model() -> None:
    fast, small = (
        parse_settings(Experiment, {"catalogue": CATALOGUE, "preset": preset}, "here") for preset in ("fast", "small")
    )
    assert not fast.folm.train
    folm = fast.folm.model_copy(update={"train": True})
    pairs = fast.pairs.model_copy(update={"reference_share": small.pairs.reference_share})
    assert fast.pairs.reference_share.wscr == 1
    assert fast.model_copy(update={"preset": "small", "folm": folm, "pairs": pairs}) == small


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"pairs": {"policy": {"oar": "folm"}}}, "set pairs.policy.oar: greedy "),
        ({"pairs": {"reference_share": {"wscr": 0.5}}}, r"set pairs.reference_share.wscr: 1 "),
        ({"pairs": {"recompose": {"num_queries": 5}}}, "set pairs.recompose: null "),
        ({"folm": {"added_rewards": {"oar": [{"type": "format"}]}}}, "set folm.added_rewards: null "),
        ({"folm": {"tasks": ["oar"]}, "pairs": {"reference_share": {"wscr": 0.5}}}, None),
        ({"folm": {"tasks": ["wscr"]}, "pairs": {"policy": {"oar": "folm"}}}, None),
    ],
)
def test_what_is_not_trained_is_not_sampled(changed: dict[str, object], wanted: str | None) -> None:
    data = {"catalogue": CATALOGUE, "preset": "fast"} | changed
    if wanted is None:
        assert not parse_settings(Experiment, data, "here").folm.train
        return
    with pytest.raises(ConfigError, match=f"folm.train: false leaves no language model to sample; {wanted}"):
        parse_settings(Experiment, data, "here")


def test_the_measured_settings_are_the_small_preset_and_the_demo_only_trains_and_measures_less() -> None:
    defaults = parse_settings(Experiment, {"catalogue": {"type": "cookbook"}}, "here")
    assert load_settings(Experiment, CONFIGS[0].with_name("cookbook-results.yaml")) == defaults
    demo = load_settings(Experiment, CONFIGS[0].with_name("cookbook.yaml"))
    assert demo.diffusion.optimizer.num_steps < defaults.diffusion.optimizer.num_steps
    changed = {name for name, value in demo.diffusion if value != getattr(defaults.diffusion, name)}
    assert changed == {"optimizer"}
    assert set(demo.evaluation.methods) < set(defaults.evaluation.methods)
    assert max(demo.folm.grpo.oar.num_steps, demo.folm.grpo.wscr.num_steps) < defaults.folm.grpo.oar.num_steps


def test_keys_of_the_file_win_over_the_preset() -> None:
    data = {"catalogue": CATALOGUE, "preset": "paper", "diffusion": {"optimizer": {"batch_size": 64}}}
    optimizer = parse_settings(Experiment, data, "here").diffusion.optimizer
    assert (optimizer.batch_size, optimizer.num_steps) == (64, 10_000_000)


def test_null_over_a_preset_is_the_preset() -> None:
    data = {"catalogue": CATALOGUE, "preset": "paper", "diffusion": {"optimizer": {"batch_size": None}}, "pairs": None}
    paper = parse_settings(Experiment, {"catalogue": CATALOGUE, "preset": "paper"}, "here")
    assert parse_settings(Experiment, data, "here") == paper
    assert over_preset("small", {"pairs": None}) == {"pairs": None}


def test_an_unknown_preset_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"preset: Input should be 'small', 'fast' or 'paper' \(got 'huge'\)"):
        parse_settings(Experiment, {"catalogue": CATALOGUE, "preset": "huge"}, "here")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_settings_read_back_from_their_dump(path: Path) -> None:
    experiment = load_settings(Experiment, path)
    assert parse_settings(Experiment, experiment.model_dump(mode="json"), "dump") == experiment
