"""Commands that make artifacts: one per stage, `pipeline` for all stages, and `ablate`. And `config`."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from r4t_ray import pipeline as flow
from r4t_ray.artifacts import Workspace
from r4t_ray.cli.group import STAGES_PANEL, WORKSPACE, ConfigPath, WorkspaceOption, app
from r4t_ray.stages import PIPELINE, STAGES, Stage, find_stage

FOLM, INDEX = find_stage("train-folm"), find_stage("build-index")
PIPELINE_HELP = "Run every stage in order and skip the current ones. Stop it at any time and run it again."


def _command(name: str) -> Callable[[Path, Path], None]:
    def command(config: ConfigPath, workspace: WorkspaceOption) -> None:
        flow.set_up_logging()
        for artifact in flow.run_command(name, config, workspace).values():
            typer.echo(f"{artifact.path}: {artifact.manifest.rows} rows")

    return command


def _run(name: str, config: Path, workspace: Path | None) -> None:
    """Run a command whose ``--workspace`` may be left out of a dry run only."""
    if workspace is None:
        raise typer.BadParameter("is required without --dry-run", param_hint="--workspace")
    _command(name)(config, workspace)


def train_folm(
    config: ConfigPath,
    workspace: Annotated[Path | None, WORKSPACE] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print parameters, memory and tokens per step, and train nothing.")
    ] = False,
) -> None:
    """Run the stage, or print what it needs."""
    if not dry_run:
        _run(FOLM.name, config, workspace)
        return
    from r4t_ray.folm.dry_run import describe, plan

    settings = flow.load_experiment(config).folm
    if not settings.train:
        typer.echo("folm.train is false: no language model is trained")
        return
    for task in settings.tasks:
        typer.echo("\n".join(describe(settings, task, plan(settings, task))))


def pipeline(
    config: ConfigPath,
    workspace: Annotated[Path | None, WORKSPACE] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print minutes, memory and disk of every stage, and write nothing.")
    ] = False,
) -> None:
    """Run all stages and say where the report is and how to ask, or print what the stages need."""
    if not dry_run:
        _run(PIPELINE, config, workspace)
        typer.echo(f"report: {workspace}/evaluation/report.md")
        typer.echo(f'ask:    r4t query --local --workspace {shlex.quote(str(workspace))} "YOUR QUERY"')
        return
    from r4t_ray.forecast import forecast, in_words

    typer.echo("\n".join(in_words(forecast(flow.load_experiment(config)))))


def build_index(
    config: ConfigPath,
    workspace: WorkspaceOption,
    target_recall: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1.0,
            help="Then choose the cheapest search parameters that find this share of the ten nearest rows of "
            "generated directions, for serving. It needs trained retrievers. Default: choose none.",
        ),
    ] = None,
) -> None:
    """Run the stage, and choose the search parameters of a workspace that has its retrievers."""
    _command(INDEX.name)(config, workspace)
    if target_recall is None:
        return
    from r4t_ray.evaluation.operating_points import tune_served

    artifact = tune_served(Workspace(workspace), target_recall, flow.load_experiment(config).seed)
    typer.echo(f"{artifact.path}: {artifact.manifest.rows} rows; restart a running `r4t serve` to use them")


OWN_COMMANDS: dict[Stage, Callable[..., None]] = {FOLM: train_folm, INDEX: build_index}
"""Stages whose command has options of its own."""

for _stage in STAGES:
    _made = OWN_COMMANDS.get(_stage) or _command(_stage.name)
    app.command(_stage.name, rich_help_panel=STAGES_PANEL, help=_stage.help)(_made)
app.command(PIPELINE, rich_help_panel=STAGES_PANEL, help=PIPELINE_HELP)(pipeline)


@app.command(rich_help_panel=STAGES_PANEL)
def ablate(config: ConfigPath, workspace: WorkspaceOption) -> None:
    """Train on parts of the OAR (open-ended abstract retrieval) reward; write a table, curves and sample answers."""
    flow.set_up_logging()
    typer.echo(flow.run_ablation(flow.load_experiment(config), Workspace(workspace)).read_text(encoding="utf-8"))


@app.command("config", rich_help_panel=STAGES_PANEL)
def config_command(config: ConfigPath) -> None:
    """Print every setting of a YAML file with its description, and mark values that differ from the default."""
    from r4t_ray.explain import resolved_config

    typer.echo(resolved_config(config), nl=False)
