"""Run one stage or all of them on a workspace. Importing this module loads no stage."""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.config import load_settings
from r4t_ray.errors import R4TError
from r4t_ray.files import write_json
from r4t_ray.machine.findings import refuse_faults
from r4t_ray.machine.folders import check_disk, folder_finding
from r4t_ray.machine.library_faults import causes, fault_of
from r4t_ray.machine.ray_sessions import connected_to_ray
from r4t_ray.machine.submitted_job import say_what_was_left_out
from r4t_ray.stages import PIPELINE, STAGES, Stage, find_stage, parents_of
from r4t_ray.start_up import check_needs, check_start, machine_findings

if TYPE_CHECKING:
    from r4t_ray.answers.folder import Asked
    from r4t_ray.config import Resources
    from r4t_ray.experiment import Experiment

TIMINGS = "timings.json"

_logger = logging.getLogger(__name__)


def load_experiment(path: str | Path) -> Experiment:
    """Read an experiment's YAML; raises ConfigError, which names each wrong key."""
    from r4t_ray.experiment import Experiment

    return load_settings(Experiment, path)


def run_stage(stage: Stage, experiment: Experiment, workspace: Workspace) -> Artifact:
    """Run one stage, unless its artifact is current, and record the seconds it took in timings.json."""
    run = importlib.import_module(stage.module).run
    settings = getattr(experiment, stage.section)
    started = time.monotonic()
    _logger.info("%s: started", stage.name)
    with _ray_for(stage):
        artifact: Artifact = run(settings, workspace, experiment.seed)
    seconds = time.monotonic() - started
    if artifact.is_new:
        _record_seconds(workspace, stage, seconds)
        _logger.info("%s: %d rows in %.1f s", stage.name, artifact.manifest.rows, seconds)
    else:
        _logger.info("%s: unchanged, skipped", stage.name)
    return artifact


def run_pipeline(experiment: Experiment, workspace: Workspace) -> dict[str, Artifact]:
    """Run every stage in order and skip the current ones; returns the artifacts by section."""
    check_start(STAGES, experiment, workspace.root)
    with workspace.locked(), connected_to_ray():
        check_needs(STAGES, experiment)
        return {stage.section: run_stage(stage, experiment, workspace) for stage in STAGES}


def run_ablation(experiment: Experiment, workspace: Workspace) -> Path:
    """Run the stages that the variants of ``ablation`` share, then train and compare these; returns the report.

    An ablation trains language models with ``folm.train: false`` too.
    """
    from r4t_ray.evaluation.ablation import ablate

    folm = experiment.folm.model_copy(update={"train": True})
    experiment = experiment.model_copy(update={"folm": folm})
    stages = [stage for stage in STAGES if stage.section in (*parents_of("folm"), "folm")]
    check_start(stages, experiment, workspace.root)
    with workspace.locked(), connected_to_ray():
        check_needs(stages, experiment)
        for stage in stages[:-1]:
            run_stage(stage, experiment, workspace)
        return ablate(experiment.ablation, experiment.folm, experiment.evaluation, workspace, experiment.seed)


def run_retrieval(asked: Asked, out: Path, actors: Resources, batch_size: int) -> tuple[Artifact, int]:
    """Answer a whole log of queries into the folder ``out``, which a stopped run with the same inputs continues.

    Returns:
        The answers, and how many queries have an error in place of an answer.
    """
    from r4t_ray.answers.folder import FILES, open_answers
    from r4t_ray.answers.table import num_errors

    refuse_faults([folder_finding("--out", out, "name another --out"), check_disk("the answers", out)])
    refuse_faults(machine_findings())
    with open_answers(asked, out) as folder:
        missing = folder.missing()
        if missing:
            from r4t_ray.answers.retrieve import answer_files

            _logger.info("retrieve: %d files to write", len(missing))
            with connected_to_ray():
                answer_files(folder, missing, actors, batch_size=batch_size)
        answers = folder.finish()
    return answers, num_errors(answers.path / FILES)


def main(argv: Sequence[str] | None = None) -> None:
    """Entry point of jobs/stage.py: ``STAGE CONFIG --workspace DIR``; exits with 2 and a message for a user's fault."""
    parser = argparse.ArgumentParser(description="Run one stage of an experiment on a workspace.")
    parser.add_argument(
        "stage",
        metavar="STAGE",
        choices=[*(stage.name for stage in STAGES), PIPELINE],
        help=f"one of %(choices)s; {PIPELINE} runs every stage in order",
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="the experiment's YAML")
    parser.add_argument(
        "--workspace", "-w", metavar="DIR", type=Path, required=True, help="folder of the experiment's artifacts"
    )
    arguments = parser.parse_args(argv)
    set_up_logging()
    try:
        run_command(arguments.stage, arguments.config, arguments.workspace)
    except Exception as error:
        fault = find_fault(error)
        if fault is None:
            raise
        sys.exit(report_fault(fault))


def run_command(command: str, config: Path, workspace: Path) -> dict[str, Artifact]:
    """Run the stage of that name, or all stages for ``pipeline``; returns the artifacts by section."""
    experiment, place = load_experiment(config), Workspace(workspace)
    if command == PIPELINE:
        return run_pipeline(experiment, place)
    stage = find_stage(command)
    check_start([stage], experiment, place.root)
    with place.locked(), _ray_for(stage):
        if stage.on_ray:
            check_needs([stage], experiment)
        return {stage.section: run_stage(stage, experiment, place)}


def set_up_logging() -> None:
    """Send log lines of INFO and up to stderr, with the time."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", datefmt="%H:%M:%S"
    )
    for chatty in ("httpx", "httpx2", "fsspec", "sentence_transformers", "filelock", "faiss"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def find_fault(error: BaseException) -> R4TError | None:
    """The fault that ``error`` is or wraps: an R4TError, or a library's fault in our words. None for a bug.

    Ray wraps the errors of its tasks and training workers.
    """
    # Ray's error of a task is an instance of the class of its cause, but lacks its fields. So go on to the cause.
    ours = (each for each in causes(error) if isinstance(each, R4TError) and len(each.args) == 4)
    fault = next(ours, None) or fault_of(error)
    return fault and say_what_was_left_out(fault, Path.cwd())


def report_fault(fault: R4TError) -> int:
    """Print a user's fault and its fix on stderr; returns the exit status, 2."""
    print(f"error: {fault.where}", file=sys.stderr)
    for label, text in (("got", fault.got), ("expected", fault.expected), ("fix", fault.fix)):
        print(f"  {label + ':':<10}{text}", file=sys.stderr)
    return 2


@contextmanager
def _ray_for(stage: Stage) -> Iterator[None]:
    if not stage.on_ray:
        yield
        return
    with connected_to_ray():
        yield


def _record_seconds(workspace: Workspace, stage: Stage, seconds: float) -> None:
    path = workspace.root / TIMINGS
    timings = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    write_json(path, timings | {stage.section: round(seconds, 2)})
