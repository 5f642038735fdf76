"""The check before the work starts: folders, disks, the address of Ray, and the CPUs and GPUs that stages reserve."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from r4t_ray.machine.cluster_size import Need, check_size, cluster_nodes
from r4t_ray.machine.findings import Finding, refuse_faults
from r4t_ray.machine.folders import (
    check_disk,
    check_home,
    check_shared_memory,
    check_temporary_folder,
    check_user,
    check_workspace,
    temporary_folder,
)
from r4t_ray.machine.hub import check_hub_cache
from r4t_ray.machine.library_faults import require_hub_model
from r4t_ray.machine.ray_cluster import check_ray_address, ray_address
from r4t_ray.stages import Stage

if TYPE_CHECKING:
    from r4t_ray.config import Resources
    from r4t_ray.experiment import Experiment


def machine_findings() -> Iterator[Finding]:
    """What Ray and the libraries need of this machine, whatever is run."""
    yield check_home()
    yield check_user()
    yield check_hub_cache()
    yield check_ray_address()
    if ray_address() is None:
        yield check_temporary_folder()
        yield check_shared_memory()
        yield check_disk("temporary files", temporary_folder())


def check_start(stages: Collection[Stage], experiment: Experiment, workspace: Path) -> None:
    """Check the folders, the models of a hub and the address of Ray before the stages run.

    Raises:
        MachineError: Something is missing without which no stage can finish.
    """
    refuse_faults([check_workspace(workspace), check_disk("the workspace", workspace)])
    if any(stage.on_ray for stage in stages):
        refuse_faults(machine_findings())
    check_models(stages, experiment)


def check_needs(stages: Iterable[Stage], experiment: Experiment) -> None:
    """Check, once Ray is connected, that it has what the stages reserve. A cluster that adds nodes is not checked.

    Raises:
        MachineError: A stage would wait for ever.
    """
    nodes = cluster_nodes()
    if nodes is not None:
        needs = [need for stage in stages if stage.section in NEEDS for need in NEEDS[stage.section](experiment)]
        refuse_faults(check_size(needs, nodes))


def check_models(stages: Iterable[Stage], experiment: Experiment) -> None:
    """Check that the models which the stages name by a hub id are in the cache or can be fetched.

    Raises:
        MachineError: The hub does not give one.
        ConfigError: A reference names nothing, or the key of the encoder's endpoint is not set.
    """
    from r4t_ray.encoders import EndpointConfig
    from r4t_ray.encoders.models import is_local, resolve_model

    models = {"encoder": experiment.encoder.model, "folm": experiment.folm.base_model}
    settings = {"encoder": "encoder.model", "folm": "folm.base_model"}
    if isinstance(experiment.encoder, EndpointConfig):
        del models["encoder"]
        if any(stage.section == "encoder" for stage in stages):
            experiment.encoder.key()
    if not experiment.folm.train:
        del models["folm"]
    for section in [stage.section for stage in stages if stage.section in models]:
        if not is_local(resolved := resolve_model(models[section])):
            require_hub_model(resolved, f"{settings[section]} '{models[section]}'")


def _embed(experiment: Experiment) -> list[Need]:
    actors = experiment.encoder.actors
    return [_need("embed", "encoder.actors", actors), Need(stage="embed", setting="one reading task", num=1, cpus=1)]


def _train_folm(experiment: Experiment) -> list[Need]:
    folm = experiment.folm
    if not folm.train:
        return []
    return [
        _need("train-folm", "folm.rollout", folm.rollout),
        _need("train-folm", "folm.learner", folm.learner),
    ]


def _synthesize_pairs(experiment: Experiment) -> list[Need]:
    pairs = experiment.pairs
    writers = _need("synthesize-pairs", "pairs.writers", pairs.writers)
    return [_need("synthesize-pairs", "pairs.actors", pairs.actors), writers] if experiment.folm.train else [writers]


def _train_diffusion(experiment: Experiment) -> list[Need]:
    diffusion = experiment.diffusion
    reading = Need(stage="train-diffusion", setting="one reading task", num=1, cpus=1)
    workers = _need("train-diffusion", "diffusion.workers", diffusion.workers)
    return [workers] if diffusion.cache_pairs else [workers, reading]


def _need(stage: str, setting: str, resources: Resources) -> Need:
    return Need(stage=stage, setting=setting, num=resources.num, cpus=resources.cpus, gpus=resources.gpus)


NEEDS: dict[str, Callable[[Experiment], list[Need]]] = {
    "encoder": _embed,
    "folm": _train_folm,
    "pairs": _synthesize_pairs,
    "diffusion": _train_diffusion,
}
"""Section of a stage -> what it reserves from Ray at the same time."""
