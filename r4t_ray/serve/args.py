"""Typed arguments of the Serve application: the keys of `args:` in serve_configs/*.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from r4t_ray.config import CopyResources
from r4t_ray.retrieval.settings import RetrievalSettings


class Scaling(CopyResources):
    """Number of replicas of one deployment, and the load and the resources of each."""

    min_replicas: int = Field(1, ge=0, description="Replicas that always run.")
    max_replicas: int = Field(1, ge=1, description="Replicas that the autoscaler may start under load.")
    target_ongoing_requests: float = Field(
        4.0, gt=0, description="Requests per replica that the autoscaler aims at. Lower values start replicas earlier."
    )
    upscale_delay_s: float = Field(30.0, ge=0, description="Seconds of a higher load before replicas are started.")
    downscale_delay_s: float = Field(600.0, ge=0, description="Seconds of a lower load before replicas are stopped.")
    max_ongoing_requests: int = Field(64, ge=1, description="Requests that one replica works on at a time.")
    max_queued_requests: int = Field(
        256, ge=-1, description="Calls of one caller that may wait. Further calls get HTTP 429. -1 sets no limit."
    )
    cpus: float = Field(0.1, ge=0, description="CPUs that each replica reserves from Ray.")
    gpus: float = Field(
        0.0, ge=0, description="GPUs that each replica reserves from Ray. Those that hold the models use them."
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_replicas > self.max_replicas:
            raise ValueError(f"min_replicas ({self.min_replicas}) exceeds max_replicas ({self.max_replicas})")
        return self


class AppArgs(RetrievalSettings):
    """How a workspace is served: default task and sampler, deadline, batches, and the deployments' scaling."""

    workspace: str = Field(
        "workspace/cookbook",
        description="Folder of the artifacts. A relative path starts at the directory in which Ray was started. "
        "`r4t serve --workspace DIR` replaces it.",
    )
    shards: Literal["inline", "deployed"] = Field(
        "inline",
        description="inline searches the index inside the gateway, which is faster if the index fits into one process. "
        "deployed makes one deployment per index shard.",
    )
    models: Literal["inline", "deployed"] = Field(
        "inline",
        description="inline runs encoder and diffusion inside the gateway, with its CPUs and GPUs. deployed makes one "
        "deployment of them, which scales on its own.",
    )
    api_keys_file: Path | None = Field(
        None,
        description="File with a line `SCOPE SHA256` for each API key (docs/serving.md). Requests then need "
        "a key. The environment variable R4T_API_KEYS adds keys. null and no variable: every request passes.",
    )
    json_logs: bool = Field(
        False,
        description="Whether the deployments write their logs as JSON lines. The gateway then logs one line for each "
        "request, in place of Serve's access log. false keeps Serve's text logs.",
    )
    query_log: Path | None = Field(
        None,
        description="File NAME.jsonl to which the gateway appends a JSON line for each answered query, for "
        "`catalogue.queries` and `r4t drift --queries` (docs/serving.md). Its folder must exist. The file holds what "
        "people wrote. null: no log.",
    )
    deadline_s: float = Field(20.0, gt=0, description="Seconds after which a request gets HTTP 504.")
    max_batch_size: int = Field(
        64, ge=1, description="Most queries in a batch of the generator. They came while it computed the last one."
    )
    gateway: Scaling = Field(
        Scaling(max_ongoing_requests=256),
        description="Scaling of the gateway, which validates requests and composes answers.",
    )
    generator: Scaling = Field(
        Scaling(max_ongoing_requests=128),
        description="Scaling of the generator, which holds encoder and diffusion. It has an effect only with "
        "`models: deployed`.",
    )
    language_model: Scaling | None = Field(
        None,
        description="Scaling of the deployment of the fan-out language models, for requests with `method: folm`. Give "
        "it a CPU or a GPU: `{cpus: 1}`. It needs a workspace whose `folm.train` is true. null: none is deployed, and "
        "such requests are refused.",
    )
    shard: Scaling = Field(
        Scaling(), description="Scaling of the deployment of each shard. It has an effect only with `shards: deployed`."
    )

    @model_validator(mode="after")
    def _has_generator(self) -> Self:
        if self.models == "inline" and self.generator != type(self).model_fields["generator"].default:
            raise ValueError("generator has an effect only with models: deployed; set that, or the scaling of gateway")
        return self
