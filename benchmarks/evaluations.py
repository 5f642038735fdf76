"""How many evaluations of the network a solver's steps take, and the steps that a number of evaluations allows.

euler, dpmpp_2m and sde evaluate once a step. heun evaluates twice a step but once in the last, so n steps take 2n - 1.
likeliest and one_step have no steps and evaluate once. Guidance other than 0 makes each evaluation one batch of twice
the queries; it counts as one.
"""

from __future__ import annotations

from r4t_ray.diffusion.settings import Solver


def evaluations_of(solver: Solver, num_steps: int) -> int:
    """Evaluations that ``num_steps`` steps take.

    >>> evaluations_of("heun", 8), evaluations_of("sde", 8)
    (15, 8)
    """
    if solver in ("likeliest", "one_step"):
        return 1
    return 2 * num_steps - 1 if solver == "heun" else num_steps


def steps_within(solver: Solver, evaluations: int) -> int:
    """The most steps that take at most ``evaluations``, 1 or more, evaluations.

    >>> steps_within("heun", 16), steps_within("sde", 16)
    (8, 16)
    """
    if solver in ("likeliest", "one_step"):
        return 1
    return (evaluations + 1) // 2 if solver == "heun" else evaluations


def describe(evaluations: int) -> str:
    """One line that says what ``evaluations`` become, for the head of a table."""
    steps = steps_within("heun", evaluations)
    return (
        f"asked {evaluations}: euler, dpmpp_2m, sde steps {evaluations}, evaluations {evaluations}; "
        f"heun steps {steps}, evaluations {evaluations_of('heun', steps)}"
    )
