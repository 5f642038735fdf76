"""Whether Ray has the CPUs and GPUs that a stage reserves. A stage that asks for more waits for ever."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from r4t_ray.machine.findings import Finding

BOOTSTRAP = Path("~/ray_bootstrap_config.yaml")
"""The file that `ray up` leaves on the head of a cluster that it scales."""
KUBERAY = "KUBERAY_GEN_RAY_START_CMD"


@dataclass(frozen=True, kw_only=True)
class Need:
    """What one group of copies reserves at the same time as the other groups of its stage.

    Attributes:
        stage: Name of the stage.
        setting: The section of its numbers, the option --actors, or a few words for a need without settings.
        num: Copies.
        cpus: CPUs of a copy.
        gpus: GPUs of a copy.
    """

    stage: str
    setting: str
    num: int
    cpus: float
    gpus: float = 0.0


def check_size(needs: Iterable[Need], nodes: Sequence[Mapping[str, float]]) -> Iterator[Finding]:
    """A fault for every stage that needs more than ``nodes`` have, the resources of each node by name."""
    by_stage: dict[str, list[Need]] = {}
    for need in needs:
        by_stage.setdefault(need.stage, []).append(need)
    for stage, own in by_stage.items():
        for name, unit in (("CPU", "cpus"), ("GPU", "gpus")):
            asked = sum(need.num * _of(need, unit) for need in own)
            there = sum(node.get(name, 0.0) for node in nodes)
            largest = max((node.get(name, 0.0) for node in nodes), default=0.0)
            too_large = [need.setting for need in own if _of(need, unit) > largest]
            if asked > there or too_large:
                yield _fault(stage, name, unit, own, asked=asked, there=there, largest=largest)


def cluster_nodes() -> list[Mapping[str, float]] | None:
    """The resources of every node of the connected cluster; None if the cluster adds nodes by itself."""
    import ray
    from ray.data._internal.cluster_autoscaler.util import is_autoscaling_enabled

    if KUBERAY in os.environ or BOOTSTRAP.expanduser().is_file() or is_autoscaling_enabled():
        return None
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _of(need: Need, unit: str) -> float:
    return need.cpus if unit == "cpus" else need.gpus


def _fault(
    stage: str, name: str, unit: str, needs: Sequence[Need], *, asked: float, there: float, largest: float
) -> Finding:
    parts = [f"{need.setting} {need.num} x {_of(need, unit):g}" for need in needs if _of(need, unit)]
    asking = [need.setting for need in needs if _of(need, unit)]
    numbers = " and ".join(f"{name}.{{num,{unit}}}" for name in asking if "." in name)
    if "--actors" in asking:
        numbers = f"--actors or --{unit}"
    return Finding(
        name=f"{stage}: {name}s that it reserves",
        value=f"{asked:g} ({', '.join(parts)}), and Ray has {there:g}, at most {largest:g} on a node",
        expected=f"at most the {there:g} {name}s of the cluster",
        fix=f"lower {numbers}, or give Ray more {name}s (`ray start --num-{unit}`); `ray status` shows what is in use",
        required=True,
    )
