"""How many evaluations of the network a solver's steps take, and the steps that a number of evaluations allows.

Guidance other than 0 makes each evaluation one batch of twice the queries; it counts as one.
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
    """The most steps that take at most ``evaluations``, 1 or more, evaluations.

    >>> steps_within("heun", 16), steps_within("sde", 16)
    (8, 16)
    """
    if not SOLVERS[solver].is_stepwise:
        return 1
    return max(steps for steps in range(1, evaluations + 1) if evaluations_of(solver, steps) <= evaluations)


def describe(evaluations: int) -> str:
    """One line that says what ``evaluations`` become, for the head of a table."""
    steps = steps_within("heun", evaluations)
    return (
        f"asked {evaluations}: euler, dpmpp_2m, sde steps {evaluations}, evaluations {evaluations}; "
        f"heun steps {steps}, evaluations {evaluations_of('heun', steps)}"
    )
