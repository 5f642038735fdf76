"""The application graph: gateway -> generator, language model, shards and writer."""

# Serve reads the annotation of build_app to type the args of the config. So annotations are not postponed here.

from pathlib import Path

from ray import serve

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import ConfigError
from r4t_ray.retrieval.live.versions import served_workspace
from r4t_ray.retrieval.loading import served_indexes, shard_rows
from r4t_ray.serve.args import AppArgs, Scaling
from r4t_ray.serve.gateway import Gateway
from r4t_ray.serve.generator import Generator
from r4t_ray.serve.keys import load_keys
from r4t_ray.serve.language_model import LanguageModel, trained_models
from r4t_ray.serve.shard import Shard, shard_name
from r4t_ray.serve.writer import Writer, servable_tasks
from r4t_ray.types import IndexName

__all__ = ["AppArgs", "build_app"]


HEALTH_CHECK_S = 2.0
"""Seconds between two health checks. A replica that was killed is missed, and replaced, at the next one."""


def build_app(args: AppArgs) -> serve.Application:
    """Join the deployments that serve ``args.workspace``, or the workspace that was activated in its place.

    Every file is verified here, so that a fault is reported before any deployment starts. Replicas verify the files
    that they load.

    Raises:
        MissingArtifactError: A stage that serving needs has not run.
        ArtifactError: Stages made from different inputs, or live changes made for other artifacts.
        ConfigError: ``args.default_task`` is not served, the API keys cannot be read, the folder of the query log is
            not there, or the workspace has no language model to deploy.
    """
    workspace = Workspace(Path(args.workspace))
    query_log = absolute_log(args.query_log) if args.query_log else None
    args = args.model_copy(update={"workspace": str(workspace.root), "query_log": query_log})
    workspace = served_workspace(workspace)
    tasks = servable_tasks(workspace, args)
    keys = load_keys(args.api_keys_file)
    shards = {name: _shards(workspace, args, name) for name in served_indexes(tasks)}
    num_shards = {name: len(found) for name, found in shards.items() if found}
    deployed = args.models == "deployed"
    generator = scaled(Generator, args.generator, args.json_logs).bind(args) if deployed else None
    language_model = None
    if args.language_model:
        trained_models(workspace)
        language_model = scaled(LanguageModel, args.language_model, args.json_logs).bind(args)
    models = [held for held in (generator, language_model) if held]
    writer = scaled(Writer, Scaling(cpus=0.0), args.json_logs).bind(args, models, num_shards)
    gateway = scaled(Gateway, args.gateway, args.json_logs)
    if args.json_logs:
        gateway = gateway.options(logging_config={"encoding": "JSON", "enable_access_log": False})  # it logs requests
    return gateway.bind(args, generator, writer, shards, keys, language_model=language_model)


def absolute_log(path: Path) -> Path:
    """The path of the query log, for replicas that run in another folder; raises ConfigError if it cannot be one."""
    path = path.expanduser().absolute()
    if path.suffix != ".jsonl" or path.is_dir() or not path.parent.is_dir():
        expected = "a file NAME.jsonl in a folder that exists"
        raise ConfigError("serve.query_log", str(path), expected, f"correct it, or mkdir -p {path.parent}")
    return path


def scaled(deployment: object, scaling: Scaling, json_logs: bool = False) -> serve.Deployment:
    """A decorated class with its replicas, queues, resources and the form of its logs set."""
    assert isinstance(deployment, serve.Deployment)
    return deployment.options(
        autoscaling_config={
            "min_replicas": scaling.min_replicas,
            "max_replicas": scaling.max_replicas,
            "target_ongoing_requests": scaling.target_ongoing_requests,
            "upscale_delay_s": scaling.upscale_delay_s,
            "downscale_delay_s": scaling.downscale_delay_s,
        },
        health_check_period_s=HEALTH_CHECK_S,
        max_ongoing_requests=scaling.max_ongoing_requests,
        max_queued_requests=scaling.max_queued_requests,
        backpressure_config={"status_code": 429, "retry_after_s": 1.0},
        logging_config={"encoding": "JSON"} if json_logs else None,
        ray_actor_options={"num_cpus": scaling.cpus, "num_gpus": scaling.gpus},
    )


def _shards(workspace: Workspace, args: AppArgs, index: IndexName) -> list[serve.Application]:
    if args.shards == "inline":
        return []
    return [
        scaled(Shard, args.shard, args.json_logs).options(name=shard_name(index, number)).bind(args, index, number)
        for number in range(len(shard_rows(workspace, index)))
    ]
