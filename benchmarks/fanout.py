"""Time the fan-out: the language model and the diffusion retriever, in one run.

``python -m benchmarks.fanout WORKSPACE --task oar`` times the models of a finished workspace on the CPU, in float32.
``python -m benchmarks.fanout --paper`` times the paper's shapes with random weights on a CUDA device. Tasks: OAR
(open-ended abstract retrieval) and WSCR (weakly supervised compositional retrieval). A cell that is not timed states
the reason.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, new_result
from benchmarks.stopwatch import Board
from benchmarks.tables.speed import fanout_tables
from r4t_ray.types import Task

GridSolver = Literal["heun", "euler", "dpmpp_2m", "sde"]
SOLVERS: tuple[GridSolver, ...] = ("heun", "euler", "dpmpp_2m", "sde")
Mode = Literal["eager", "compile", "graph", "compile+graph"]
PAPER_MODES: tuple[Mode, ...] = ("eager", "graph", "compile+graph")
PAPER_MINUTES = 5.5


class FanoutSettings(BenchmarkSettings):
    """What is timed."""

    workspace: Annotated[Path | None, POSITIONAL] = Field(None, description="Folder that `r4t pipeline` filled.")
    paper: bool = Field(False, description="Time the paper's shapes with random weights; takes no workspace.")
    task: Task = Field("oar", description="Task whose models are timed.")
    batches: tuple[PositiveInt, ...] = Field((1, 8, 64, 256, 1024), description="Queries per call.")
    evaluations: tuple[PositiveInt, ...] = Field(
        (256, 16, 8, 4, 1), description="Network evaluations of the diffusion; a solver takes as many steps as fit."
    )
    solvers: tuple[GridSolver, ...] | None = Field(
        None, description="Solvers of the diffusion. Default: all; with --paper, sde."
    )
    modes: tuple[Mode, ...] | None = Field(
        None, description="How the diffusion runs. Default: eager and compile; with --paper, all but compile."
    )
    scopes: tuple[Literal["fan-out", "with search"], ...] = Field(
        ("fan-out", "with search"), description="The fan-out alone, or with embedding and search."
    )
    guidance: float | None = Field(
        None, description="Classifier-free guidance strength. Default: the model's; with --paper, 0.1."
    )
    threads: PositiveInt | None = Field(None, description="CPU threads of both models. Default: the engine's.")
    seed: int = Field(0, description="Seed of all sampling.")
    minutes: PositiveFloat | None = Field(
        None, description=f"Time limit of the run. Default: none; with --paper, {PAPER_MINUTES}."
    )
    call_limit: PositiveFloat = Field(60.0, description="Most seconds of one timed call.")
    prompt_tokens: PositiveInt = Field(128, description="--paper: tokens of the language model's prompt.")
    new_tokens: PositiveInt = Field(128, description="--paper: tokens that the language model always generates.")
    device: Literal["cuda", "cpu"] = Field("cuda", description="--paper: the device.")
    tiny: bool = Field(False, description="--paper: use toy shapes to try the program.")

    @model_validator(mode="after")
    def _one_subject(self) -> FanoutSettings:
        if self.paper == bool(self.workspace):
            raise ValueError("name a WORKSPACE or give --paper, one of the two")
        return self


def measure(settings: FanoutSettings) -> Result:
    """Time all cells; each cell is printed and written as soon as it is timed."""
    minutes = settings.minutes or (PAPER_MINUTES if settings.paper else float("inf"))
    board = Board(
        synchronize=lambda: None,
        result=new_result("fanout", settings),
        out=settings.out,
        deadline=time.perf_counter() + minutes * 60,
        call_limit_s=settings.call_limit,
    )
    (measure_paper if settings.paper else measure_workspace)(settings, board)
    return board.result


def measure_paper(settings: FanoutSettings, board: Board) -> None:
    """The paper's shapes on a CUDA device."""
    import torch

    from benchmarks.fanout_paper import PaperGrid, run

    if settings.device == "cuda":
        if not torch.cuda.is_available():
            raise SystemExit("--paper needs CUDA, or --device cpu --tiny to try the program")
        board.synchronize = torch.cuda.synchronize
    grid = PaperGrid(
        device=settings.device,
        batches=settings.batches,
        evaluations=settings.evaluations,
        solvers=settings.solvers or ("sde",),
        modes=settings.modes or PAPER_MODES,
        guidance=0.1 if settings.guidance is None else settings.guidance,
        prompt_tokens=settings.prompt_tokens,
        new_tokens=settings.new_tokens,
        is_tiny=settings.tiny,
    )
    run(grid, board)


def measure_workspace(settings: FanoutSettings, board: Board) -> None:
    """A workspace's models on the CPU."""
    from benchmarks.fanout_workspace import WorkspaceGrid, run

    assert settings.workspace is not None
    grid = WorkspaceGrid(
        task=settings.task,
        batches=settings.batches,
        evaluations=settings.evaluations,
        solvers=settings.solvers or SOLVERS,
        modes=settings.modes or ("eager", "compile"),
        scopes=settings.scopes,
        guidance=settings.guidance,
        threads=settings.threads,
        seed=settings.seed,
    )
    run(grid, settings.workspace, board)


BENCHMARK = Benchmark(
    name="fanout",
    settings=FanoutSettings,
    measure=measure,
    tables=fanout_tables,
    about=__doc__,
)

if __name__ == "__main__":
    BENCHMARK.main()
