"""The command group and the arguments that several commands share.

A command that makes artifacts takes ``CONFIG --workspace DIR``, where ``--workspace`` is required. Every other command
takes ``--workspace DIR``, by default the workspace of the demo.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Train and serve a retriever that answers a broad query with a diverse set (R4T, arXiv 2603.06397), on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

STAGES_PANEL, USE_PANEL, WORKSPACE_PANEL = "Make the artifacts", "Use a workspace", "Look after a workspace"

DEFAULT_WORKSPACE = Path("workspace/cookbook")

WORKSPACE = typer.Option("--workspace", "-w", metavar="DIR", help="Folder of the experiment's artifacts.")
WorkspaceOption = Annotated[Path, WORKSPACE]
ConfigPath = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="The experiment's YAML, e.g. jobs/configs/cookbook.yaml.")
]
