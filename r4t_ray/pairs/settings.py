"""Settings of stage 2."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from r4t_ray.config import Settings
from r4t_ray.pairs.actors import EngineActors
from r4t_ray.pairs.keep import KeepAbove, KeepAll, KeepBest
from r4t_ray.pairs.recompose import RecomposeConfig
from r4t_ray.types import Task


class PairsConfig(Settings):
    """How many fan-outs a query, how they are drawn, which are kept, and how wide a target is (L).

    ``num_recombined`` queries, so many for each task, are made of its training queries and get one fan-out each;
    ``recompose`` has a language model make more for wscr, with sets of their own, which get ``num_samples`` each. The
    fan-outs of ``queries_per_file`` queries are drawn at once and go into one parquet file. The commonest
    ``num_labels`` sub-queries of a task become the names of its directions.

    The actors are those of the fan-outs, and before them those of ``recompose``. On a CPU an actor's engine has
    ``actor_cpus`` threads, rounded up: of two cores 1.5 gives it two threads and leaves the writer its half core.
    """

    num_samples: PositiveInt = 128
    num_recombined: dict[Task, NonNegativeInt] = Field(default_factory=dict)
    recompose: RecomposeConfig | None = None
    temperature: PositiveFloat = 0.9
    keep: Annotated[KeepAll | KeepBest | KeepAbove, Field(discriminator="type")] = KeepAll()
    num_rows: PositiveInt = 12
    queries_per_file: PositiveInt = 64
    num_labels: NonNegativeInt = 2000
    num_actors: PositiveInt = 1
    actor_cpus: PositiveFloat = 0.5
    actor_gpus: float = 0.0
    num_writers: PositiveInt = 1

    @property
    def actors(self) -> EngineActors:
        """Those that hold a language model."""
        return EngineActors(self.num_actors, self.actor_cpus, self.actor_gpus)
