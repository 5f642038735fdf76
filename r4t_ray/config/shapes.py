"""Settings classes that several sections share: the resources of workers, and one value per task."""

from __future__ import annotations

import math
import os
from typing import Generic, TypeVar

from pydantic import Field

from r4t_ray.config.operational import Operational
from r4t_ray.config.settings import Settings
from r4t_ray.types import Task

T = TypeVar("T")


class CopyResources(Settings):
    """What Ray reserves for each copy of an actor, a worker or a replica."""

    cpus: Operational[float] = Field(
        1.0, ge=0, description="CPUs that each copy reserves from Ray. Fractions let copies share a core."
    )
    gpus: float = Field(
        0.0, ge=0, description="GPUs that each copy reserves from Ray. With 0 the copy computes on the CPU."
    )


class Resources(CopyResources):
    """The number of copies of an actor or worker, and the resources of each copy."""

    num: Operational[int] = Field(1, ge=1, description="Copies that run at the same time.")
    threads: Operational[int | None] = Field(
        None,
        ge=1,
        description="Torch threads in a copy without a GPU. null takes `cpus`, rounded up.",
    )

    @property
    def num_threads(self) -> int:
        """Threads of torch in a copy without a GPU."""
        return self.threads if self.threads is not None else max(1, math.ceil(self.cpus))


class SharingWorkers(Resources):
    """Workers that share each batch, so that their number changes what each one draws."""

    num: int = Field(1, ge=1, description="Workers, which share each batch.")


def on_all_cpus(resources: Resources) -> Resources:
    """``resources`` with one thread per CPU of the machine. Use it for a process that has the machine to itself."""
    return resources.model_copy(update={"threads": os.cpu_count() or 1})


class PerTask(Settings, Generic[T]):
    """One value for each task; a mapping that names one task keeps the default of the other."""

    oar: T = Field(description="For open-ended abstract retrieval (OAR).")
    wscr: T = Field(description="For weakly supervised compositional retrieval (WSCR).")

    def __getitem__(self, task: Task) -> T:
        """The value of one task."""
        return self.oar if task == "oar" else self.wscr
