"""Network evaluations of a solver's steps, and the steps that fit into a number of evaluations.

euler, dpmpp_2m and sde evaluate the network once a step. heun evaluates it twice a step and once in the last step: n
steps take 2n - 1 evaluations. likeliest and one_step have no steps and evaluate it once. Guidance other than 0 doubles
the batch of an evaluation; it still counts as one.
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
    """The greatest number of steps that take at most ``evaluations`` (1 or more) evaluations.

    >>> steps_within("heun", 16), steps_within("sde", 16)
    (8, 16)
    """
    if solver in ("likeliest", "one_step"):
        return 1
    return (evaluations + 1) // 2 if solver == "heun" else evaluations


def describe(evaluations: int) -> str:
    """One line with the steps and evaluations that ``evaluations`` become, printed above a run."""
    steps = steps_within("heun", evaluations)
    return (
        f"asked {evaluations}: euler, dpmpp_2m, sde steps {evaluations}, evaluations {evaluations}; "
        f"heun steps {steps}, evaluations {evaluations_of('heun', steps)}"
    )
