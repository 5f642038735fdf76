"""Settings that had other names in r4t_ray 0.1. The error about such a setting gives its new name."""

from __future__ import annotations

RENAMED = {
    "encoder.num_actors": "encoder.actors.num",
    "encoder.num_gpus_per_actor": "encoder.actors.gpus",
    "index.build_threads": "index.threads",
    "folm.oar": "folm.reward.oar",
    "folm.wscr": "folm.reward.wscr",
    "folm.rewards": "folm.added_rewards",
    "folm.engine.threads": "folm.rollout.threads",
    "folm.num_rollout_actors": "folm.rollout.num",
    "folm.rollout_cpus": "folm.rollout.cpus",
    "folm.rollout_gpus": "folm.rollout.gpus",
    "folm.num_workers": "folm.learner.num",
    "folm.worker_gpus": "folm.learner.gpus",
    "folm.learner_threads": "folm.learner.threads",
    "folm.warm_start.oar_passes": "folm.warm_start.num_passes.oar",
    "folm.warm_start.wscr_passes": "folm.warm_start.num_passes.wscr",
    "folm.warm_start.wscr_recombined": "folm.warm_start.num_recombined.wscr",
    "folm.grpo.oar.steps": "folm.grpo.oar.num_steps",
    "folm.grpo.wscr.steps": "folm.grpo.wscr.num_steps",
    "folm.grpo.oar.clip": "folm.grpo.oar.clip_eps",
    "folm.grpo.wscr.clip": "folm.grpo.wscr.clip_eps",
    "pairs.keep": "pairs.select",
    "pairs.num_actors": "pairs.actors.num",
    "pairs.actor_cpus": "pairs.actors.cpus",
    "pairs.actor_gpus": "pairs.actors.gpus",
    "pairs.num_writers": "pairs.writers.num",
    "diffusion.network.dim": "encoder.dim",
    "diffusion.network.num_rows": "pairs.num_rows",
    "diffusion.network.hidden": "diffusion.network.hidden_size",
    "diffusion.network.mlp": "diffusion.network.mlp_size",
    "diffusion.optimizer.peak_lr": "diffusion.optimizer.learning_rate",
    "diffusion.num_workers": "diffusion.workers.num",
    "diffusion.cpus_per_worker": "diffusion.workers.cpus",
    "diffusion.num_threads": "diffusion.workers.threads",
    "diffusion.use_gpu": "diffusion.workers.gpus",
    "serve.gateway.num_cpus": "serve.gateway.cpus",
    "serve.generator.num_cpus": "serve.generator.cpus",
    "serve.generator.num_gpus": "serve.generator.gpus",
    "serve.shard.num_cpus": "serve.shard.cpus",
}
"""Setting of version 0.1 -> the setting that holds its value now."""


def renamed_hint(keys: list[str]) -> str:
    """The new names of those ``keys`` that are settings of version 0.1; empty if there are none."""
    found = [f"`{key}` is now `{RENAMED[key]}`" for key in keys if key in RENAMED]
    if not found:
        return ""
    return f"settings of r4t_ray 0.1: {', '.join(found)}; run the pipeline in a new workspace"
