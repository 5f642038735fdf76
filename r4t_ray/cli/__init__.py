"""The command line: `r4t --help` lists the commands. Nothing heavy is imported until a command runs.

A user's fault (R4TError) is one message on stderr and exit status 2. Other errors are bugs and keep their traceback.
"""

from __future__ import annotations

import sys

from r4t_ray import pipeline
from r4t_ray.cli import annotate, stages, use, workspace
from r4t_ray.cli.group import app

__all__ = ["annotate", "app", "main", "stages", "use", "workspace"]


def main() -> None:
    """Run the command line."""
    try:
        app()
    except Exception as error:
        fault = pipeline.find_fault(error)
        if fault is None:
            raise
        sys.exit(pipeline.report_fault(fault))
