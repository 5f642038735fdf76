"""One YAML file an experiment: a seed and one section a stage.

It names every room's settings, so reading one imports the rooms; ``r4t_ray.pipeline`` does so only when a stage runs.
"""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from r4t_ray.catalogue import CatalogueConfig
from r4t_ray.config import Settings
from r4t_ray.diffusion import DiffusionConfig
from r4t_ray.drift import DriftConfig
from r4t_ray.encoders import EncoderConfig
from r4t_ray.evaluation import AblationConfig, EvaluationConfig
from r4t_ray.folm import FolmConfig
from r4t_ray.index import IndexConfig
from r4t_ray.pairs import PairsConfig
from r4t_ray.serve.args import AppArgs


class Experiment(Settings):
    """All that decides what a workspace holds. Only ``catalogue`` must be written; the rest has defaults."""

    seed: int = Field(0, ge=0, lt=2**31)
    catalogue: CatalogueConfig
    encoder: EncoderConfig
    index: IndexConfig
    folm: FolmConfig
    pairs: PairsConfig
    diffusion: DiffusionConfig
    evaluation: EvaluationConfig
    ablation: AblationConfig
    drift: DriftConfig
    serve: AppArgs

    @model_validator(mode="before")
    @classmethod
    def _absent_section_is_all_defaults(cls, data: Any) -> Any:
        """Read an absent or empty section as ``{}``, so that a setting without default is named by its own key."""
        if not isinstance(data, dict):
            return data
        sections = set(cls.model_fields) - {"seed", "catalogue"}
        return data | {name: data.get(name) or {} for name in sections}

    @model_validator(mode="after")
    def _sections_agree(self) -> Self:
        """Find before the first stage what would else stop a late one."""
        network = self.diffusion.network
        if network.dim != self.encoder.dim:
            raise ValueError(f"diffusion.network.dim ({network.dim}) differs from encoder.dim ({self.encoder.dim})")
        if network.num_rows != self.pairs.num_rows:
            rows = f"diffusion.network.num_rows ({network.num_rows})"
            raise ValueError(f"{rows} differs from pairs.num_rows ({self.pairs.num_rows})")
        if self.pairs.num_rows < self.folm.k:
            raise ValueError(f"pairs.num_rows ({self.pairs.num_rows}) is below folm.k ({self.folm.k})")
        return self
