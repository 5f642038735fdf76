"""Stage `evaluate`: every method on the held-out queries, with intervals, tables and plots.

A method is one file in ``methods/``. No engine is loaded before ``run`` needs it.
"""

from __future__ import annotations

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.evaluation.settings import AblationConfig, EvaluationConfig

__all__ = ["AblationConfig", "EvaluationConfig", "run"]


def run(config: EvaluationConfig, workspace: Workspace, seed: int) -> Artifact:
    """Measure the workspace's methods into evaluation/: metrics.json, report.md and plots."""
    from r4t_ray.evaluation.evaluate import evaluate

    return evaluate(config, workspace, seed)
