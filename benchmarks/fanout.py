"""Latency of the fan-out: a language model beside the diffusion, as ratios within one run.

``python -m benchmarks.fanout WORKSPACE --task oar`` takes a finished workspace and runs on the CPU, in float32.
``python -m benchmarks.fanout --paper`` takes the paper's shapes with random weights and runs on a CUDA device.
A cell that could not be measured says why. Nothing is asserted.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from benchmarks.stopwatch import HEAD, Board, provenance, table

if TYPE_CHECKING:
    from r4t_ray.diffusion import SolverName

BATCHES = (1, 8, 64, 256, 1024)
EVALUATIONS = (256, 16, 8, 4, 1)
SOLVERS: tuple[SolverName, ...] = ("heun", "euler", "dpmpp_2m", "sde")
PAPER_MINUTES = 5.5


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__.split("\n")[0])
    parser.add_argument("workspace", type=Path, nargs="?", help="folder that `r4t pipeline` filled")
    parser.add_argument("--paper", action="store_true", help="the paper's shapes with random weights, no workspace")
    parser.add_argument("--task", choices=("oar", "wscr"), default="oar")
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES)
    parser.add_argument("--evaluations", type=int, nargs="+", default=EVALUATIONS)
    parser.add_argument("--solvers", choices=SOLVERS, nargs="+", help="all; with --paper, the paper's sde")
    parser.add_argument("--modes", nargs="+", choices=("eager", "compile", "graph", "compile+graph"))
    parser.add_argument("--scopes", nargs="+", choices=("fan-out", "with search"), default=("fan-out", "with search"))
    parser.add_argument("--guidance", type=float, help="default: the model's own; with --paper, 0.1")
    parser.add_argument("--threads", type=int, help="of everything, on a CPU; default: the engine's own setting")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file of all rows")
    parser.add_argument("--minutes", type=float, help=f"time limit; default none, with --paper {PAPER_MINUTES}")
    parser.add_argument("--call-limit", type=float, default=60.0, help="seconds that a single timed call may take")
    parser.add_argument("--prompt-tokens", type=int, default=128, help="--paper: of the language model")
    parser.add_argument("--new-tokens", type=int, default=128, help="--paper: of the language model, a fixed number")
    parser.add_argument("--device", choices=("cuda", "cpu"), help="--paper; cuda by default")
    parser.add_argument("--tiny", action="store_true", help="--paper: toy shapes, to try the program")
    return parser


def main() -> None:
    """Measure, then print the whole table with its ratios."""
    started, options = time.perf_counter(), parser().parse_args()
    if options.paper == bool(options.workspace):
        parser().error("name a WORKSPACE or give --paper, one of the two")
    minutes = options.minutes or (PAPER_MINUTES if options.paper else float("inf"))
    deadline = started + minutes * 60
    board = Board(lambda: None, options.out, deadline, options.call_limit, provenance(options))
    print(HEAD)
    (run_paper if options.paper else run_workspace)(options, board)
    print(f"\n{table(board.rows)}")
    print(
        "eval (st): network evaluations (steps). LM / this: the language model's median over this one, same batch and "
        f"scope.\n{time.perf_counter() - started:.0f} s in all",
        flush=True,
    )


def run_paper(options: argparse.Namespace, board: Board) -> None:
    """The paper's shapes on a CUDA device."""
    import torch

    from benchmarks.fanout_paper import Mode, PaperGrid, run

    device = options.device or "cuda"
    if device == "cuda":
        if not torch.cuda.is_available():
            raise SystemExit("--paper needs CUDA, or --device cpu --tiny to try the program")
        board.synchronize = torch.cuda.synchronize
    modes = options.modes or [mode for mode in get_args(Mode) if mode != "compile"]
    grid = PaperGrid(
        device=device,
        batches=tuple(options.batches),
        evaluations=tuple(options.evaluations),
        solvers=tuple(options.solvers or ("sde",)),
        modes=tuple(modes),
        guidance=0.1 if options.guidance is None else options.guidance,
        prompt_tokens=options.prompt_tokens,
        new_tokens=options.new_tokens,
        is_tiny=options.tiny,
    )
    run(grid, board)


def run_workspace(options: argparse.Namespace, board: Board) -> None:
    """A workspace's models on the CPU."""
    from benchmarks.fanout_workspace import WorkspaceGrid, run

    grid = WorkspaceGrid(
        task=options.task,
        batches=tuple(options.batches),
        evaluations=tuple(options.evaluations),
        solvers=tuple(options.solvers or SOLVERS),
        modes=tuple(options.modes or ("eager", "compile")),
        scopes=tuple(options.scopes),
        guidance=options.guidance,
        threads=options.threads,
        seed=options.seed,
    )
    run(grid, options.workspace, board)


if __name__ == "__main__":
    main()
