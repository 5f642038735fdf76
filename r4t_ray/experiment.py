"""One YAML file per experiment: a seed, a preset, and one section per stage.

This module imports the settings of every package. ``r4t_ray.pipeline`` imports it only when it reads a YAML file.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from r4t_ray.catalogue import CatalogueConfig
from r4t_ray.config import Settings
from r4t_ray.config.presets import PRESETS, Preset, over_preset
from r4t_ray.decoder import DecoderConfig
from r4t_ray.diffusion import DiffusionConfig
from r4t_ray.drift import DriftConfig
from r4t_ray.encoders import AnyEncoderConfig, EncoderConfig
from r4t_ray.evaluation import AblationConfig, EvaluationConfig
from r4t_ray.folm import FolmConfig
from r4t_ray.index import IndexConfig
from r4t_ray.pairs import PairsConfig
from r4t_ray.serve.args import AppArgs


class Experiment(Settings):
    """The settings of one workspace. Only ``catalogue`` is required; everything else has a default."""

    seed: int = Field(0, ge=0, lt=2**31, description="Seed of every stage. The same seed gives the same workspace.")
    preset: Preset = Field(
        "small",
        description="Values that this file starts from. small keeps the defaults, which run in minutes to an hour on "
        "two CPU cores. fast is small without a language model (`folm.train: false`). paper takes Table 3 of arXiv "
        "2603.06397 and needs a cluster with GPUs.",
    )
    catalogue: CatalogueConfig = Field(description="The data: items, and sets of items.")
    encoder: AnyEncoderConfig = Field(EncoderConfig(), description="The text encoder.")
    index: IndexConfig = Field(IndexConfig(), description="The nearest-neighbour indexes over items and sets.")
    folm: FolmConfig = Field(FolmConfig(), description="The fan-out language models (FOLM) and their training.")
    pairs: PairsConfig = Field(
        PairsConfig(), description="The synthesis of training pairs for the diffusion retrievers."
    )
    diffusion: DiffusionConfig = Field(DiffusionConfig(), description="The diffusion retrievers and their training.")
    decoder: DecoderConfig = Field(DecoderConfig(), description="The item decoder of WSCR and its training.")
    evaluation: EvaluationConfig = Field(EvaluationConfig(), description="The evaluation on held-out queries.")
    ablation: AblationConfig = Field(AblationConfig(), description="The reward ablation, run by `r4t ablate`.")
    drift: DriftConfig = Field(DriftConfig(), description="The limits that `r4t drift` applies.")
    serve: AppArgs = Field(AppArgs(), description="The Serve application of `r4t serve`.")

    @model_validator(mode="before")
    @classmethod
    def _start_from_the_preset(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("preset") in PRESETS:
            return over_preset(data["preset"], data)
        return data

    @model_validator(mode="before")
    @classmethod
    def _without_sets_only_oar_is_trained(cls, data: Any) -> Any:
        catalogue, folm = (data.get(name) for name in ("catalogue", "folm")) if isinstance(data, dict) else (None, None)
        has_items_only = isinstance(catalogue, dict) and catalogue.get("type") == "sets" and not catalogue.get("sets")
        if has_items_only and (folm is None or (isinstance(folm, dict) and folm.get("tasks") is None)):
            return data | {"folm": (folm or {}) | {"tasks": ["oar"]}}
        return data

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        """Refuse, before the first stage runs, settings that would stop a later stage."""
        if "wscr" in self.folm.tasks and not self.catalogue.has_sets:
            raise ValueError("folm.tasks: wscr needs sets; give catalogue.sets, or set folm.tasks to [oar]")
        if self.pairs.num_rows < self.folm.k:
            raise ValueError(f"pairs.num_rows ({self.pairs.num_rows}) is below folm.k ({self.folm.k})")
        if self.serve.default_task not in (None, *self.folm.tasks):
            raise ValueError(
                f"serve.default_task ({self.serve.default_task}) is not in folm.tasks ({', '.join(self.folm.tasks)})"
            )
        is_greedy = "oar" in self.folm.tasks and self.pairs.policy.oar == "greedy"
        if is_greedy and self.folm.reward.oar.type == "paper":
            raise ValueError(
                "pairs.policy.oar: greedy, the default, needs folm.reward.oar of type specific; "
                "set pairs.policy.oar to folm, or the reward's type to specific"
            )
        if is_greedy and self.folm.reward.oar.type == "back_translation" and self.pairs.select.type == "all":
            raise ValueError(
                "pairs.policy.oar: greedy maximises the specific reward, and pairs.select of type all never asks "
                "folm.reward.oar of type back_translation; set pairs.select to {type: best, fraction: 0.125} and "
                "pairs.num_samples to 8 (about half a second a sample), or pairs.policy.oar to folm"
            )
        return self

    @model_validator(mode="after")
    def _nothing_samples_a_model_that_is_not_trained(self) -> Self:
        tasks, pairs = self.folm.tasks, self.pairs
        samples = {
            "pairs.policy.oar: greedy": "oar" in tasks and pairs.policy.oar == "folm",
            "pairs.reference_share.wscr: 1": "wscr" in tasks and pairs.reference_share.wscr < 1,
            "pairs.recompose: null": pairs.recompose is not None,
            "folm.added_rewards: null": any(self.folm.added_rewards[task] for task in tasks),
        }
        wanted = [setting for setting, is_sampled in samples.items() if is_sampled]
        if wanted and not self.folm.train:
            raise ValueError(f"folm.train: false leaves no language model to sample; set {', '.join(wanted)}")
        return self
