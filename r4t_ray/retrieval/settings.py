"""Settings of retrieval that do not depend on where it runs: the default task and the sampler."""

from __future__ import annotations

from pydantic import Field

from r4t_ray.config import Settings
from r4t_ray.diffusion import SolverName
from r4t_ray.types import Task


class RetrievalSettings(Settings):
    """Which task answers by default, and how directions are sampled."""

    default_task: Task | None = Field(
        None,
        description="Task of a request that names none. "
        "oar retrieves collections (open-ended abstract retrieval). wscr retrieves the items of one set "
        "(weakly supervised compositional retrieval). null takes oar if the workspace serves it, else wscr.",
    )
    solver: SolverName | None = Field(
        None, description="Solver that samples the directions. None takes the trained model's solver."
    )
    num_steps: int | None = Field(
        None,
        ge=1,
        description="Steps of the solver. None takes the trained model's number. More steps are slower and more exact.",
    )
    guidance: float | None = Field(
        None,
        ge=0,
        description="Classifier-free guidance strength. None takes the trained model's strength. "
        "0 turns guidance off, which halves the work.",
    )
    mmr_lambda: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Weight of relevance in answers of the method mmr (maximal marginal relevance), unless the request "
        "states one. The report of `r4t evaluate` names the value that it tuned.",
    )
