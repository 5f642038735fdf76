"""Settings of the diffusion retriever; the defaults are Table 3 of arXiv 2603.06397.

Free of torch and ray, so that an experiment's settings can be read and checked before either is loaded.
"""

from __future__ import annotations

import math
from typing import Literal

from pydantic import Field, model_validator

from r4t_ray.config import Settings
from r4t_ray.diffusion.samplers import SOLVERS, SolverName
from r4t_ray.types import Task

Levels = Literal["tangent", "log_uniform", "karras", "lognormal"]
"""A map from [0, 1] to noise levels; ``schedule.SCHEDULES`` holds one function for each name."""


class NetworkConfig(Settings):
    """Shape of the set transformer; 53.9M parameters within 2% by default."""

    num_rows: int = Field(12, ge=1, description="L, rows generated for a query")
    dim: int = Field(128, ge=1, description="d, embedding width")
    hidden: int = Field(1024, ge=1)
    mlp: int = Field(1024, ge=1)
    num_heads: int = Field(16, ge=1)
    num_layers: int = Field(6, ge=1)
    num_query_tokens: int = Field(4, ge=1, description="cross-attention tokens projected from z_q")
    noise_dim: int = Field(32, ge=2, multiple_of=2, description="width of the noise level's embedding")
    dropout: float = Field(0.1, ge=0, lt=1)
    attention_dropout: float = Field(0.1, ge=0, lt=1)
    num_anchors: int = Field(0, ge=0, description="known rows that the output may be mixed from; 0 is the paper's form")

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> NetworkConfig:
        if self.hidden % self.num_heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of num_heads ({self.num_heads})")
        return self


class NoiseConfig(Settings):
    """Range of the noise and how training draws from it.

    ``lognormal_mean`` is relative to ln(sigma_data), so -0.51 is the -1.2 that EDM uses at sigma_data = 0.5.
    """

    sigma_min: float = Field(1e-4, gt=0)
    sigma_max: float = Field(80.0, gt=0)
    sigma_data: float = Field(0.088, gt=0, description="1 / sqrt(d) for unit rows")
    train_levels: Levels = "log_uniform"
    lognormal_mean: float = -0.51
    lognormal_std: float = Field(1.2, gt=0)

    @model_validator(mode="after")
    def _range_is_ordered(self) -> NoiseConfig:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min ({self.sigma_min}) must be below sigma_max ({self.sigma_max})")
        return self


class SamplerConfig(Settings):
    """How ``DiffusionRetriever.generate`` samples unless a call says otherwise."""

    solver: SolverName = "sde"
    num_steps: int = Field(256, ge=1)
    guidance: float = Field(0.1, ge=0)
    levels: Literal["tangent", "log_uniform", "karras"] = "karras"


class OptimizerConfig(Settings):
    """Adam with linear warm-up and cosine decay to zero. ``batch_size`` counts pairs over all workers."""

    peak_lr: float = Field(3e-4, gt=0)
    warmup_steps: int = Field(20_000, ge=0)
    num_steps: int = Field(10_000_000, ge=1)
    batch_size: int = Field(512, ge=1)
    ema_decay: float = Field(0.9999, ge=0, lt=1)
    max_grad_norm: float | None = Field(None, gt=0)


class StudentConfig(Settings):
    """A one-step student, and how the trajectories of its teacher are solved whose ends it learns."""

    optimizer: OptimizerConfig = OptimizerConfig(
        peak_lr=1e-4, warmup_steps=500, num_steps=20_000, batch_size=512, ema_decay=0.999
    )
    trajectory: SamplerConfig = SamplerConfig(solver="heun", num_steps=8)

    @model_validator(mode="after")
    def _a_noise_has_one_end(self) -> StudentConfig:
        solver = SOLVERS[self.trajectory.solver]
        if solver.is_stochastic or not solver.is_stepwise:
            fitting = ", ".join(name for name, one in SOLVERS.items() if one.is_stepwise and not one.is_stochastic)
            raise ValueError(
                f"trajectory.solver {self.trajectory.solver!r} does not take a noise to one end: {fitting}"
            )
        return self


class DiffusionConfig(Settings):
    """Settings of the train-diffusion stage.

    ``student`` names the tasks whose retriever gets a student, which then serves.

    A training worker holds ``cpus_per_worker`` of Ray's CPUs and, without a GPU, has as many torch threads, rounded up.
    Pairs that are not cached are read by at least one CPU more.
    """

    network: NetworkConfig = NetworkConfig()
    noise: NoiseConfig = NoiseConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    sampler: dict[Task, SamplerConfig] = Field(default_factory=dict)
    student: dict[Task, StudentConfig] = Field(default_factory=dict)
    row_matching: Literal["random", "noise"] = Field(
        "random", description="order of a target's rows: random, as in the paper, or matched to the rows of noise"
    )
    prior_weight: float = Field(
        0.0, ge=0, description="weight of the cross-entropy of the targets' anchors given the query alone; 0 is eq. 9"
    )
    query_dropout: float = Field(0.1, ge=0, le=1, description="share of z_q replaced by the null embedding")
    shuffle_rows: int = Field(
        16_384, ge=1, description="pairs that are read and shuffled together where they are not cached"
    )
    cache_pairs: bool = Field(False, description="hold a worker's pairs in its device's memory, shuffled whole")
    log_every: int = Field(100, ge=1)
    validate_every: int = Field(1000, ge=1)
    validation_rows: int = Field(2048, ge=0)
    checkpoint_every: int = Field(10_000, ge=1)
    max_failures: int = Field(
        2, ge=0, description="restarts from the last checkpoint after a worker is lost, in both tasks together"
    )
    num_workers: int = Field(1, ge=1)
    cpus_per_worker: float = Field(1.0, gt=0)
    use_gpu: bool = False
    compile: bool = Field(False, description="torch.compile the network")

    @property
    def num_threads(self) -> int:
        """Of torch in a worker without a GPU."""
        return math.ceil(self.cpus_per_worker)

    def sampler_of(self, task: Task) -> SamplerConfig:
        """The settings of one task's sampler; the defaults where ``sampler`` does not name it."""
        return self.sampler.get(task, SamplerConfig())

    @model_validator(mode="after")
    def _a_prior_is_over_anchors(self) -> DiffusionConfig:
        if self.prior_weight and not self.network.num_anchors:
            raise ValueError("prior_weight needs anchors: set network.num_anchors, or prior_weight to 0")
        return self

    @model_validator(mode="after")
    def _workers_share_the_batch(self) -> DiffusionConfig:
        batch_sizes = {"optimizer": self.optimizer.batch_size}
        batch_sizes |= {f"student.{task}.optimizer": one.optimizer.batch_size for task, one in self.student.items()}
        for name, size in batch_sizes.items():
            if size % self.num_workers:
                raise ValueError(f"{name}.batch_size ({size}) must be a multiple of num_workers ({self.num_workers})")
        return self
