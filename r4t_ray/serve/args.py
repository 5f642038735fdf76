"""Typed arguments of the Serve application: what `args:` in serve_configs/*.yaml may hold."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from r4t_ray.config import Settings
from r4t_ray.diffusion import SolverName
from r4t_ray.types import Task


class Scaling(Settings):
    """Replicas of one deployment and what each may hold."""

    min_replicas: int = Field(1, ge=0)
    max_replicas: int = Field(1, ge=1)
    target_ongoing_requests: float = Field(4.0, gt=0, description="Requests a replica that the autoscaler aims at.")
    max_ongoing_requests: int = Field(64, ge=1, description="Requests that one replica works on at a time.")
    max_queued_requests: int = Field(256, ge=-1, description="Waiting calls of one caller; more give HTTP 429.")
    num_cpus: float = Field(0.1, ge=0)
    num_gpus: float = Field(0.0, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas ({self.min_replicas}) exceeds max_replicas ({self.max_replicas})")
        return self


class AppArgs(Settings):
    """How a workspace is served.

    A relative ``workspace`` is resolved against the directory in which Ray was started. ``shards: inline`` searches
    inside the gateway's process, the faster choice while the index fits one; ``deployed`` makes one deployment of
    every index shard. ``None`` for the sampler's settings means the trained model's own.
    """

    workspace: str = "workspace/cookbook"
    default_task: Task = "oar"
    solver: SolverName | None = None
    num_steps: int | None = Field(None, ge=1)
    guidance: float | None = Field(None, ge=0)
    shards: Literal["inline", "deployed"] = "inline"
    deadline_s: float = Field(20.0, gt=0, description="A request that takes longer gets HTTP 504.")
    max_batch_size: int = Field(64, ge=1, description="Queries that the generator takes in one pass.")
    batch_wait_s: float = Field(0.002, ge=0, description="How long a query waits for others to join its batch.")
    gateway: Scaling = Scaling(max_ongoing_requests=256)
    generator: Scaling = Scaling(max_ongoing_requests=128)
    shard: Scaling = Scaling()
