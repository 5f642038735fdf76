"""The command line: `r4t --help` lists the commands. Nothing heavy is imported until a command runs.

A person's fault (R4TError) is one message on stderr and exit status 2; anything else is ours, with its traceback.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from r4t_ray import pipeline as flow
from r4t_ray.artifacts import Workspace
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
_WORKSPACE = typer.Option("--workspace", "-w", help="Folder that holds the experiment's artifacts.")
WorkspaceOption = Annotated[Path, _WORKSPACE]
DEFAULT_WORKSPACE = Path("workspace/cookbook")


def _stage_command(name: str) -> Callable[[Path, Path], None]:
    def command(config: ConfigPath, workspace: WorkspaceOption) -> None:
        flow.set_up_logging()
        for artifact in flow.run_command(name, config, workspace).values():
            typer.echo(f"{artifact.path}: {artifact.manifest.rows} rows")

    command.__doc__ = STAGE_HELP[name]
    return command


for _name in STAGE_HELP:
    if _name != "train-folm":
        app.command(_name, rich_help_panel="Stages")(_stage_command(_name))


@app.command("train-folm", rich_help_panel="Stages", help=STAGE_HELP["train-folm"])
def train_folm(
    config: ConfigPath,
    workspace: Annotated[Path | None, _WORKSPACE] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it would need.")] = False,
) -> None:
    """Run the stage, or say what it would need."""
    if not dry_run:
        if workspace is None:
            raise typer.BadParameter("is needed, but for --dry-run", param_hint="--workspace")
        _stage_command("train-folm")(config, workspace)
        return
    from r4t_ray.folm.dry_run import describe, plan

    settings = flow.load_experiment(config).folm
    for task in settings.tasks:
        typer.echo("\n".join(describe(settings, task, plan(settings, task))))


@app.command(rich_help_panel="Stages")
def ablate(config: ConfigPath, workspace: WorkspaceOption) -> None:
    """Train the fan-out model on parts of the OAR reward and compare them: a table, curves, sample answers."""
    flow.set_up_logging()
    typer.echo(flow.run_ablation(flow.load_experiment(config), Workspace(workspace)).read_text(encoding="utf-8"))


@app.command("config", rich_help_panel="Stages")
def config_command(config: ConfigPath) -> None:
    """Print every setting of a YAML file with its description, and mark what differs from the default."""
    from r4t_ray.explain import resolved_config

    typer.echo(resolved_config(config), nl=False)


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
    like: Annotated[list[str] | None, typer.Option(help="Id of the catalogue, or words: draws the set there.")] = None,
    avoid: Annotated[list[str] | None, typer.Option(help="Likewise: pushes it from there.")] = None,
    strength: Annotated[float, typer.Option(help="Of that draw and push.")] = 0.5,
    temperature: Annotated[float, typer.Option(help="Diversity: 1 is the model's own, above it sets vary more.")] = 1.0,
    guidance: Annotated[float | None, typer.Option(help="How closely to keep to the query; the model's own.")] = None,
) -> None:
    """Ask a running server for a set, or answer in this process with --local; --like and --avoid may be repeated."""
    logging.basicConfig(level=logging.WARNING)
    from r4t_ray.serve.schema import parse_request

    request = parse_request(
        query=text,
        k=k,
        n=n,
        seed=seed,
        task=task,
        like=like or (),
        avoid=avoid or (),
        strength=strength,
        temperature=temperature,
        guidance=guidance,
    )
    if local:
        from r4t_ray.serve.local import answer_locally

        answer = answer_locally(workspace, request)
    else:
        from r4t_ray.serve.client import ask

        answer = ask(url, request)
    _print_answer(answer)


@app.command(rich_help_panel="Use")
def push(
    workspace: Annotated[Path, typer.Argument(metavar="WORKSPACE", help="Folder that `r4t pipeline` filled.")],
    repo_id: Annotated[str, typer.Argument(metavar="REPO_ID", help="OWNER/NAME on the hub.")],
    task: Annotated[Task, typer.Option(help="Whose retriever: oar or wscr.")],
    student: Annotated[bool, typer.Option("--student", help="The task's one-step student instead.")] = False,
    private: Annotated[bool, typer.Option("--private", help="Make the repository private.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the files to this folder and send nothing.")] = None,
) -> None:
    """Push a diffusion retriever to the Hugging Face hub with a model card of its data, settings and figures."""
    from r4t_ray.push import push as push_retriever

    typer.echo(push_retriever(workspace, repo_id, task, student=student, private=private, out=out))


@app.command(rich_help_panel="Use")
def status(
    workspace: Annotated[Path, typer.Argument(metavar="WORKSPACE", help="Folder in which train-folm runs.")],
) -> None:
    """Say how far train-folm is: step, reward and components, samples a second, time left, faults."""
    from r4t_ray.folm.status import PARTIAL, read_status

    found = read_status(workspace)
    if not found:
        begun = (workspace / PARTIAL).is_dir()
        typer.echo("train-folm: started, no batch of rollouts yet" if begun else "train-folm: finished")
    for task in found:
        parts = ", ".join(f"{name} {value:.3f}" for name, value in task["components"].items())
        faults = ", ".join(f"{count} {name}" for name, count in task["faults"].items() if count) or "none"
        typer.echo(f"{task['task']}: step {task['step']} of {task['steps']}, reward {task['reward']:.4f} ({parts})")
        typer.echo(
            f"  {task['samples_per_s']:.1f} samples/s, {task['eta_s']:.0f} s left, staleness {task['staleness']:.0f}"
        )
        typer.echo(f"  faults: {faults}; last batch {time.time() - task['updated']:.0f} s ago")


@app.command(rich_help_panel="Use")
def drift(
    workspace: Annotated[Path, typer.Argument(metavar="WORKSPACE", help="Folder that `r4t pipeline` filled.")],
    items: Annotated[Path | None, typer.Option(help="New items, JSON lines or parquet as in a catalogue.")] = None,
    sets: Annotated[Path | None, typer.Option(help="New sets, likewise.")] = None,
    removed_items: Annotated[Path | None, typer.Option(help="Ids of items that are gone, one a line.")] = None,
    removed_sets: Annotated[Path | None, typer.Option(help="Ids of sets that are gone, one a line.")] = None,
    queries: Annotated[Path | None, typer.Option(help="New queries, a text file with one a line.")] = None,
    task: Annotated[Task | None, typer.Option(help="oar or wscr; every task with a retriever if none.")] = None,
    config: Annotated[
        Path | None, typer.Option(help="An experiment's YAML; its `drift` and `evaluation` sections are used.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the figures as JSON.")] = None,
) -> None:
    """Compare new queries and a changed catalogue with those trained on; say whether to re-synthesize."""
    logging.basicConfig(level=logging.WARNING)
    experiment = flow.load_experiment(config) if config else None
    from r4t_ray.evaluation import DriftConfig, EvaluationConfig
    from r4t_ray.evaluation.drift import measure_drift
    from r4t_ray.evaluation.drift_report import check_out, drift_lines, write_drifts

    if out is not None:
        check_out(out)
    found = measure_drift(
        experiment.drift if experiment else DriftConfig(),
        experiment.evaluation if experiment else EvaluationConfig(),
        Workspace(workspace),
        items=items,
        sets=sets,
        removed_items=removed_items,
        removed_sets=removed_sets,
        queries=queries,
        task=task,
    )
    for each in found:
        typer.echo("\n".join(drift_lines(each)))
    if out is not None:
        write_drifts(found, out)


@app.command(rich_help_panel="Use")
def add(
    workspace: Annotated[Path, typer.Argument(metavar="WORKSPACE", help="Folder that `r4t pipeline` filled.")],
    items: Annotated[Path | None, typer.Option(help="New items, JSON lines or parquet as in a catalogue.")] = None,
    sets: Annotated[Path | None, typer.Option(help="New sets, likewise.")] = None,
) -> None:
    """Have new entries served with no retraining; they replace all that an earlier call added."""
    logging.basicConfig(level=logging.WARNING)
    from r4t_ray.additions import add as add_entries

    artifact = add_entries(Workspace(workspace), items=items, sets=sets)
    typer.echo(f"{artifact.path}: {artifact.manifest.rows} rows; a running `r4t serve` finds them when started again")


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
    from rich.text import Text

    table = Table("direction", "items (cosine)", title=Text(answer.query), show_lines=True)
    for direction in answer.directions:
        items = "\n".join(f"{item.text} ({item.score:.2f})" for item in direction.items)
        name = f"{direction.index + 1}" if direction.label is None else f"{direction.index + 1} {direction.label}"
        table.add_row(Text(name), Text(items))
    console = Console()
    console.print(table)
    console.print(f"{len(answer.items)} distinct items in {len(answer.directions)} directions, task {answer.task}")


if __name__ == "__main__":
    main()
