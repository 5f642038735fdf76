"""The stages, in the order in which they run. Command, section, folder and job of a stage derive from its record here.

Importing this module loads no stage: a stage names its module, which is imported when the stage runs.
"""

from __future__ import annotations

from dataclasses import dataclass

from r4t_ray.errors import ConfigError

REFERENCE = "reference-"
"""Beginning of the names of files of pairs whose targets come from references: synthesize-pairs writes them, and
train-diffusion remembers their answers."""
PIPELINE = "pipeline"
"""Name of the command, and of the job, that runs every stage."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of the pipeline."""

    name: str
    """The command `r4t NAME` and the argument of jobs/stage.py."""
    section: str
    """The section of the YAML, the folder in the workspace, and the name in the ``parents`` of later stages."""
    parents: tuple[str, ...]
    """Sections of the stages whose files it reads. Evaluation also reads the models that its methods need."""
    module: str
    """The package whose ``run(config, workspace, seed)`` makes the artifact."""
    help: str
    """One sentence for `r4t --help`."""
    on_ray: bool = True
    """Whether the stage needs a connection to Ray."""


STAGES = (
    Stage(
        name="ingest",
        section="catalogue",
        parents=(),
        module="r4t_ray.catalogue",
        help="Read a catalogue into items, sets and queries.",
        on_ray=False,
    ),
    Stage(
        name="embed",
        section="encoder",
        parents=("catalogue",),
        module="r4t_ray.encoders",
        help="Embed items, sets and queries as unit vectors (Ray Data).",
    ),
    Stage(
        name="build-index",
        section="index",
        parents=("encoder",),
        module="r4t_ray.index",
        help="Build the FAISS shards of the item pool and of the set pool.",
        on_ray=False,
    ),
    Stage(
        name="train-folm",
        section="folm",
        parents=("catalogue", "encoder", "index"),
        module="r4t_ray.folm",
        help="Train the fan-out language model: warm start, then Soft-GRPO (Ray Train, vLLM).",
    ),
    Stage(
        name="synthesize-pairs",
        section="pairs",
        parents=("catalogue", "encoder", "index", "folm"),
        module="r4t_ray.pairs",
        help="Sample sub-queries and write pairs of a query vector and a set of directions (Ray Data).",
    ),
    Stage(
        name="train-diffusion",
        section="diffusion",
        parents=("encoder", "pairs"),
        module="r4t_ray.diffusion",
        help="Train the diffusion retriever on the pairs (Ray Train).",
    ),
    Stage(
        name="train-decoder",
        section="decoder",
        parents=("catalogue", "encoder", "index", "diffusion"),
        module="r4t_ray.decoder",
        help="Train the item decoder of WSCR, which scores every item for a query and its directions.",
        on_ray=False,
    ),
    Stage(
        name="evaluate",
        section="evaluation",
        parents=("catalogue", "encoder", "index"),
        module="r4t_ray.evaluation",
        help="Measure every method on the held-out queries and write the report.",
    ),
)


def find_stage(name: str) -> Stage:
    """The stage of a command; raises ConfigError if there is none."""
    for stage in STAGES:
        if stage.name == name:
            return stage
    raise ConfigError("stage", repr(name), f"one of {[stage.name for stage in STAGES]}", "correct the name")


def command_of(section: str) -> str:
    """The command that makes the workspace folder ``section``."""
    return next((stage.name for stage in STAGES if stage.section == section), section)


def parents_of(section: str) -> tuple[str, ...]:
    """Sections of the stages that the stage of ``section`` reads."""
    return next(stage.parents for stage in STAGES if stage.section == section)
