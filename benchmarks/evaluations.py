"""Conversion between the steps of a solver and its network evaluations.

With guidance above 0 an evaluation has twice the batch size; it still counts as one.
"""

from __future__ import annotations

from r4t_ray.diffusion import SOLVERS, SolverName


def evaluations_of(solver: SolverName, num_steps: int) -> int:
    """Evaluations that ``num_steps`` steps take.

    >>> evaluations_of("heun", 8), evaluations_of("sde", 8)
    (15, 8)
    """
    return SOLVERS[solver].evaluations(num_steps)


def steps_within(solver: SolverName, evaluations: int) -> int:
    """The greatest number of steps that take at most ``evaluations`` (1 or more) evaluations.

    >>> steps_within("heun", 16), steps_within("sde", 16)
    (8, 16)
    """
    if not SOLVERS[solver].is_stepwise:
        return 1
    return max(steps for steps in range(1, evaluations + 1) if evaluations_of(solver, steps) <= evaluations)


def describe(evaluations: int) -> str:
    """One line with the steps and evaluations of each solver within ``evaluations``, printed before a run."""
    steps = steps_within("heun", evaluations)
    return (
        f"asked {evaluations}: euler, dpmpp_2m, sde steps {evaluations}, evaluations {evaluations}; "
        f"heun steps {steps}, evaluations {evaluations_of('heun', steps)}"
    )
