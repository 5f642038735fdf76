"""The command line: `r4t --help` lists the commands. Nothing heavy is imported until a command runs.

A person's fault (R4TError) is one message on stderr and exit status 2; anything else is ours, with its traceback.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from r4t_ray import pipeline as flow
from r4t_ray.types import Task

if TYPE_CHECKING:
    from r4t_ray.serve.schema import RetrieveResponse

app = typer.Typer(
    help="Compile a set-level objective into a fast retriever (R4T) on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

STAGE_HELP = {
    "ingest": "Read a catalogue into items, sets and queries.",
    "embed": "Embed items, sets and queries as unit vectors (Ray Data).",
    "build-index": "Build the FAISS shards of both pools.",
    "train-folm": "Train the fan-out language model: warm start, then Soft-GRPO (Ray Train, vLLM).",
    "synthesize-pairs": "Fan out every training query and write the pairs (z_q, Z) (Ray Data).",
    "train-diffusion": "Train the diffusion retriever on the pairs (Ray Train).",
    "evaluate": "Measure every method on the held-out queries and write the report.",
    "pipeline": "Run every stage in order, skipping what is current; stop it at any point and run it again.",
}

ConfigPath = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="The experiment's YAML, e.g. jobs/configs/cookbook.yaml.")
]
WorkspaceOption = Annotated[
    Path, typer.Option("--workspace", "-w", help="Folder that holds the experiment's artifacts.")
]
DEFAULT_WORKSPACE = Path("workspace/cookbook")


def _stage_command(name: str) -> Callable[[Path, Path], None]:
    def command(config: ConfigPath, workspace: WorkspaceOption) -> None:
        flow.set_up_logging()
        for artifact in flow.run_command(name, config, workspace).values():
            typer.echo(f"{artifact.path}: {artifact.manifest.rows} rows")

    command.__doc__ = STAGE_HELP[name]
    return command


for _name in STAGE_HELP:
    app.command(_name, rich_help_panel="Stages")(_stage_command(_name))


@app.command(rich_help_panel="Use")
def serve(
    workspace: Annotated[Path, typer.Argument(metavar="WORKSPACE", help="Folder that `r4t pipeline` filled.")],
    config: Annotated[Path | None, typer.Option(help="An experiment's YAML; its `serve` section is used.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
) -> None:
    """Serve a workspace over HTTP with Ray Serve until interrupted."""
    flow.set_up_logging()
    args = flow.load_experiment(config).serve if config else None
    from r4t_ray.serve.local import serve_workspace

    serve_workspace(workspace, host=host, port=port, args=args)


@app.command(rich_help_panel="Use")
def query(
    text: Annotated[str, typer.Argument(metavar="QUERY", help="What is wanted, in words.")],
    local: Annotated[bool, typer.Option("--local", help="Answer in this process, from --workspace.")] = False,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    url: Annotated[str, typer.Option(help="Address of a running `r4t serve`.")] = "http://127.0.0.1:8000",
    k: Annotated[int, typer.Option("-k", help="Directions.")] = 10,
    n: Annotated[int, typer.Option("-n", help="Items of each direction.")] = 10,
    seed: Annotated[int, typer.Option(help="The same seed gives the same answer.")] = 0,
    task: Annotated[Task | None, typer.Option(help="oar: collections; wscr: items of one set.")] = None,
) -> None:
    """Ask a running server for a set, or answer in this process with --local."""
    logging.basicConfig(level=logging.WARNING)
    if local:
        from r4t_ray.serve.local import answer_locally

        answer = answer_locally(workspace, text, k=k, n=n, seed=seed, task=task)
    else:
        from r4t_ray.serve.client import ask

        answer = ask(url, text, k=k, n=n, seed=seed, task=task)
    _print_answer(answer)


@app.command(rich_help_panel="Use")
def doctor() -> None:
    """Say what is installed, which engine will be used, and what is missing with the command that fixes it."""
    from r4t_ray.doctor import diagnose, print_diagnosis

    diagnosis = diagnose()
    print_diagnosis(diagnosis)
    raise typer.Exit(0 if diagnosis.healthy else 1)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except Exception as error:
        fault = flow.find_fault(error)
        if fault is None:
            raise
        sys.exit(flow.report_fault(fault))


def _print_answer(answer: RetrieveResponse) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("direction", "items (cosine)", title=answer.query, show_lines=True)
    for direction in answer.directions:
        items = "\n".join(f"{item.text} ({item.score:.2f})" for item in direction.items)
        table.add_row(str(direction.index + 1), items)
    console = Console()
    console.print(table)
    console.print(f"{len(answer.items)} distinct items in {len(answer.directions)} directions, task {answer.task}")


if __name__ == "__main__":
    main()
