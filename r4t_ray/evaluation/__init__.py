"""Stage `evaluate`: measures every method on the held-out queries and writes intervals, tables and plots.

A method is one file in ``methods/``. Importing this package loads no engine.
"""

from __future__ import annotations

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.evaluation.settings import AblationConfig, EvaluationConfig

__all__ = ["AblationConfig", "EvaluationConfig", "run"]


def run(config: EvaluationConfig, workspace: Workspace, seed: int) -> Artifact:
    """Measure the methods on one workspace, and write metrics.json, report.md and plots to evaluation/."""
    from r4t_ray.evaluation.evaluate import evaluate

    return evaluate(config, workspace, seed)
