"""Commands that look after a workspace: progress, new entries, drift, and a check of the machine."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Annotated

import typer

from r4t_ray import pipeline as flow
from r4t_ray.artifacts import Workspace
from r4t_ray.cli.group import DEFAULT_WORKSPACE, WORKSPACE_PANEL, WorkspaceOption, app
from r4t_ray.errors import ConfigError
from r4t_ray.types import LivePool, Task

NewItems = Annotated[
    Path | None,
    typer.Option(
        "--items", help="New items: a file, a folder of parts or a glob, as in a catalogue. Default: no new items."
    ),
]
NewSets = Annotated[
    Path | None,
    typer.Option(
        "--sets", help="New sets: a file, a folder of parts or a glob, as in a catalogue. Default: no new sets."
    ),
]
RemovedItems = Annotated[
    Path | None, typer.Option(help="File with the ids of removed items, one per line. Default: no removed items.")
]
RemovedSets = Annotated[
    Path | None, typer.Option(help="File with the ids of removed sets, one per line. Default: no removed sets.")
]
Queries = Annotated[
    Path | None,
    typer.Option(
        help="New queries: a text file with one per line, or records (JSON lines, CSV or parquet; a file, a folder of "
        "parts or a glob) with text and optionally task. Default: the held-out queries."
    ),
]
DriftConfigPath = Annotated[
    Path | None,
    typer.Option(
        help="YAML file of an experiment; its `drift` and `evaluation` sections are used. Default: their defaults."
    ),
]


@app.command(rich_help_panel=WORKSPACE_PANEL)
def status(workspace: WorkspaceOption = DEFAULT_WORKSPACE) -> None:
    """Print the progress of train-folm: step, reward and components, samples/s, time left, faults."""
    from r4t_ray.folm.learner.status import PARTIAL, read_outcome, read_status

    found = read_status(workspace)
    if not found:
        begun = (workspace / PARTIAL).is_dir()
        typer.echo("train-folm: started, no batch of rollouts yet" if begun else "train-folm: finished")
        typer.echo(read_outcome(workspace), nl=False)
    for task in found:
        parts = ", ".join(f"{name} {value:.3f}" for name, value in task["components"].items())
        faults = ", ".join(f"{count} {name}" for name, count in task["faults"].items() if count) or "none"
        typer.echo(f"{task['task']}: step {task['step']} of {task['num_steps']}, reward {task['reward']:.4f} ({parts})")
        if task["validation_rewards"]:
            first, last = task["validation_rewards"]
            typer.echo(f"  reward of validation queries {last:.4f}, {first:.4f} before training")
        typer.echo(
            f"  {task['samples_per_s']:.1f} samples/s, {task['eta_s']:.0f} s left, staleness {task['staleness']:.0f}"
        )
        typer.echo(f"  faults: {faults}; last batch {time.time() - task['updated']:.0f} s ago")


@app.command(rich_help_panel=WORKSPACE_PANEL)
def add(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    items: NewItems = None,
    sets: NewSets = None,
    url: Annotated[
        str | None,
        typer.Option(
            help="Address of a running `r4t serve`, which serves the entries at once, beside earlier ones or in the "
            "place of entries with their ids. Default: write to --workspace."
        ),
    ] = None,
) -> None:
    """Add new items and sets to retrieval without retraining. Without --url they replace what an earlier call added."""
    logging.basicConfig(level=logging.WARNING)
    if url is not None:
        from r4t_ray.cli.sending import send_entries
        from r4t_ray.retrieval.client import Client

        for pool, path in named_files(items, sets):
            typer.echo(f"{url}: {send_entries(Client(url), pool, path)} {pool} added or replaced")
        return
    from r4t_ray.new_entries import add as add_entries

    artifact = add_entries(Workspace(workspace), items=items, sets=sets)
    typer.echo(f"{artifact.path}: {artifact.manifest.rows} rows; restart a running `r4t serve` to serve them")


@app.command(rich_help_panel=WORKSPACE_PANEL)
def remove(
    items: Annotated[
        Path | None, typer.Option(help="File with the ids of items, one per line. Default: no items.")
    ] = None,
    sets: Annotated[
        Path | None, typer.Option(help="File with the ids of sets, one per line. Default: no sets.")
    ] = None,
    url: Annotated[str, typer.Option(help="Address of a running `r4t serve`.")] = "http://127.0.0.1:8000",
) -> None:
    """Remove items and sets from a running server. They are gone at once, and after a restart too."""
    logging.basicConfig(level=logging.WARNING)
    from r4t_ray.cli.sending import send_deletions
    from r4t_ray.retrieval.client import Client

    for pool, path in named_files(items, sets):
        num, unknown = send_deletions(Client(url), pool, path)
        missing = f"; {len(unknown)} not there (gone before, or unknown), first {unknown[0]!r}" if unknown else ""
        typer.echo(f"{url}: {num} {pool} removed{missing}")


def named_files(items: Path | None, sets: Path | None) -> list[tuple[LivePool, Path]]:
    """The pools whose files are named, items first; raises ConfigError if there is none."""
    pools: tuple[tuple[LivePool, Path | None], ...] = (("items", items), ("sets", sets))
    named = [(pool, path) for pool, path in pools if path is not None]
    if not named:
        raise ConfigError("--items, --sets", "neither", "a file of items, of sets, or both", "name one")
    return named


@app.command(rich_help_panel=WORKSPACE_PANEL)
def drift(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    items: NewItems = None,
    sets: NewSets = None,
    removed_items: RemovedItems = None,
    removed_sets: RemovedSets = None,
    queries: Queries = None,
    task: Annotated[Task | None, typer.Option(help="oar or wscr. Default: every task that has a retriever.")] = None,
    config: DriftConfigPath = None,
    out: Annotated[
        Path | None, typer.Option(help="Also write the figures to this JSON file. Default: print only.")
    ] = None,
) -> None:
    """Compare new queries and a changed catalogue with the training data, and say whether to synthesize pairs again."""
    logging.basicConfig(level=logging.WARNING)
    experiment = flow.load_experiment(config) if config else None
    from r4t_ray.drift import DriftConfig
    from r4t_ray.drift.measure import measure_drift
    from r4t_ray.drift.report import check_out, drift_lines, write_drifts
    from r4t_ray.evaluation import EvaluationConfig

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


@app.command(rich_help_panel=WORKSPACE_PANEL)
def doctor() -> None:
    """Check this machine: packages, engine and hardware. Print a command that fixes each fault."""
    from r4t_ray.doctor import diagnose, print_diagnosis

    diagnosis = diagnose()
    print_diagnosis(diagnosis)
    raise typer.Exit(0 if diagnosis.healthy else 1)
