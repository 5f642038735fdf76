"""Time a workspace's models on the CPU: its language model on the configured engine, and its diffusion retriever.

Two scopes are timed:

- "fan-out", as in ``r4t_ray.evaluation.latency``. For the language model it is query texts to parsed sub-query texts;
  for the diffusion it is z_q to the L rows. Encoder and search are not timed.
- "with search": query texts to k directions with n items each. The sub-queries of the language model are encoded
  without a cache. The query is encoded to z_q for the diffusion and for best-of-5, which chooses by z_q.

The held-out queries are used in order and start again when they run out, so a large batch may hold a query twice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import faiss
import torch

from benchmarks.evaluations import describe, evaluations_of, steps_within
from benchmarks.stopwatch import BASELINE, Board, Call, Cell, attempt
from r4t_ray.artifacts import Workspace
from r4t_ray.diffusion import SOLVERS, STUDENT, DiffusionRetriever, SamplerConfig, SolverName
from r4t_ray.encoders import Encoder, load_encoder
from r4t_ray.evaluation.bench import Bench
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.settings import EvaluationConfig
from r4t_ray.evaluation.trial import Trial, folm_settings, open_trial
from r4t_ray.folm import FanOutModel, SharedEngine
from r4t_ray.folm.policy.engines.factory import engine_name
from r4t_ray.folm.policy.engines.interface import EngineConfig
from r4t_ray.types import Task


@dataclass(frozen=True, kw_only=True)
class WorkspaceGrid:
    """What is timed. None stands for the retriever's guidance and for the engine's threads."""

    task: Task
    batches: tuple[int, ...]
    evaluations: tuple[int, ...]
    solvers: tuple[SolverName, ...]
    modes: tuple[str, ...]
    scopes: tuple[str, ...]
    guidance: float | None
    threads: int | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class Subject:
    """The held-out queries and the models of one task; ``encoder`` has no cache, so every call encodes."""

    trial: Trial
    bench: Bench
    encoder: Encoder
    grid: WorkspaceGrid

    def call(self, name: str, bench: Bench, scope: str, batch: int, *, needs_query_emb: bool = True) -> Call:
        """The timed call of the evaluated method ``name``, on ``batch`` queries, other ones at each repeat."""
        queries, emb_BD, method = self.trial.queries, self.trial.query_emb_BD, METHODS[name]
        assert method.generate is not None, "a method with a generation step"
        generate = method.generate

        def once(repeat: int) -> object:
            picks = [(repeat * batch + position) % len(queries) for position in range(batch)]
            chosen, seed = [queries[pick] for pick in picks], self.grid.seed + repeat
            if scope == "fan-out":
                return generate(bench, chosen, emb_BD[picks], seed)
            z_q_BD = self.encoder.encode([query.text for query in chosen]) if needs_query_emb else emb_BD[picks]
            return method.answer(bench, chosen, z_q_BD, seed)

        return once


def run(grid: WorkspaceGrid, root: Path, board: Board) -> None:
    """Time the diffusion first and the language model last, because a loaded engine would slow the other rows."""
    workspace, config = Workspace(root), EvaluationConfig()
    settings = folm_settings(workspace)
    threads = grid.threads or settings.rollout.num_threads or torch.get_num_threads()
    torch.set_num_threads(threads)
    faiss.omp_set_num_threads(threads)
    settings = settings.model_copy(update={"rollout": settings.rollout.model_copy(update={"threads": threads})})
    engine = SharedEngine(partial(FanOutModel.load, config=settings))
    reward = settings.reward.oar
    trial = open_trial(config, workspace, grid.task, engine=engine, reward=reward, seed=grid.seed)
    encoder = load_encoder(workspace.root / "encoder" / "model")
    # Both rows of the language model use the trained model; best-of-5 samples it five times.
    trained = workspace.root / "folm" / grid.task / "model"
    bench = replace(trial.make_bench(), encode=encoder.encode, policy=lambda _: engine.at(trained))
    subject = Subject(trial=trial, bench=bench, encoder=encoder, grid=grid)
    print(
        f"{grid.task}: {len(trial.queries)} held-out queries, pool of {len(bench.index.ids)}, k = {config.k}, "
        f"n = {config.n}; float32, {threads} thread(s); language model on "
        f"{engine_name(settings.engine)} in {settings.engine.dtype} at "
        f"temperature {config.temperature}, at most {settings.max_completion_tokens} new tokens",
        flush=True,
    )
    measure_diffusion(subject, board, workspace.root / "diffusion" / grid.task)
    measure_language_model(subject, board, settings.engine)


def measure_language_model(subject: Subject, board: Board, engine: EngineConfig) -> None:
    """Time one fan-out and best-of-5 of the trained language model, at every batch size."""
    grid = subject.grid
    why = None if "r4t_folm" in subject.trial.methods else f"no language model was trained for {grid.task}"
    methods = {BASELINE: "r4t_folm", f"{BASELINE}, best of 5": "best_of_5"}
    if why is None:
        start = time.perf_counter()
        subject.bench.policy("folm/<task>/model")
        print(f"engine loaded in {time.perf_counter() - start:.0f} s", flush=True)
    for batch in sorted(grid.batches):
        for scope in grid.scopes:
            for what, method in methods.items():
                cell = Cell(
                    what=what,
                    scope=scope,
                    device="cpu",
                    dtype=engine.dtype,
                    mode=engine_name(engine),
                    batch=batch,
                )
                make = partial(subject.call, method, subject.bench, scope, batch, needs_query_emb=what != BASELINE)
                board.measure(cell, make, why=why)


def measure_diffusion(subject: Subject, board: Board, folder: Path) -> None:
    """Time the retriever with every solver, then its one-step student if there is one."""
    measure_retriever(subject, board, "diffusion", folder)
    if (folder / STUDENT).is_dir():
        alone = replace(subject, grid=replace(subject.grid, solvers=()))
        measure_retriever(alone, board, STUDENT, folder / STUDENT)


def measure_retriever(subject: Subject, board: Board, name: str, folder: Path) -> None:
    """Time the configured sampler, and every solver at every number of evaluations, in every mode."""
    grid, own = subject.grid, DiffusionRetriever.from_pretrained(folder)
    parameters = sum(parameter.numel() for parameter in own.parameters())
    guidance = own.sampler.guidance if grid.guidance is None else grid.guidance
    print(f"{name}: {parameters / 1e6:.2f}M parameters, configured {own.sampler!r}")
    if grid.solvers:
        print("\n".join(describe(evaluations) for evaluations in grid.evaluations))
        print(f"guidance {guidance:g}: an evaluation is one batch of {2 if guidance else 1} x the queries", flush=True)
    for mode in grid.modes:
        for batch in sorted(grid.batches):
            retriever, why = own, None
            if mode == "compile":
                torch.compiler.reset()
                retriever = compiled(folder)
                why = warm_up(subject, retriever, guidance, batch)
            elif mode != "eager":
                why = f"mode {mode} is for --paper"
            for scope in grid.scopes:
                for what, settings, asked in samplers(grid, own.sampler, guidance):
                    bench = diffusion_bench(subject.bench, retriever, settings)
                    count = evaluations_of(settings.solver, settings.num_steps)
                    cell = Cell(
                        what=f"{name} {what}",
                        scope=scope,
                        device="cpu",
                        dtype="float32",
                        mode=mode,
                        batch=batch,
                        asked=asked,
                        steps=settings.num_steps,
                        evaluations=count,
                    )
                    board.measure(cell, partial(subject.call, "r4t_diffusion", bench, scope, batch), why=why)


def samplers(
    grid: WorkspaceGrid, configured: SamplerConfig, guidance: float
) -> Iterator[tuple[str, SamplerConfig, int | None]]:
    """Yield name, settings and requested evaluations: first the configured sampler, then the grid in rising order."""
    steps = configured.num_steps if SOLVERS[configured.solver].is_stepwise else 1
    yield f"configured {configured.solver}", configured.model_copy(update={"num_steps": steps}), None
    for solver in grid.solvers:
        for asked in sorted(grid.evaluations):
            settings = {"solver": solver, "num_steps": steps_within(solver, asked), "guidance": guidance}
            yield solver, configured.model_copy(update=settings), asked


def diffusion_bench(bench: Bench, retriever: DiffusionRetriever, sampler: SamplerConfig) -> Bench:
    """The bench with this retriever and sampler."""
    return replace(
        bench,
        retriever=lambda _: retriever,
        solver=sampler.solver,
        num_steps=sampler.num_steps,
        guidance=sampler.guidance,
    )


def compiled(folder: Path) -> DiffusionRetriever:
    """The retriever with compiled denoiser and compiled ``anchor_logits``, which solvers of one evaluation call."""
    retriever = DiffusionRetriever.from_pretrained(folder)
    retriever.compile(fullgraph=True, dynamic=False)
    logits = torch.compile(retriever.anchor_logits, fullgraph=True, dynamic=False)
    setattr(retriever, "anchor_logits", logits)  # noqa: B010 - mypy refuses to assign to a method
    return retriever


def warm_up(subject: Subject, retriever: DiffusionRetriever, guidance: float, batch: int) -> str | None:
    """Compile for one batch size and the samplers of the grid; returns the reason when compiling fails, else None."""
    configured, start = retriever.sampler, time.perf_counter()
    is_stepwise = SOLVERS[configured.solver].is_stepwise
    tried = [configured.model_copy(update={"num_steps": 2}) if is_stepwise else configured]
    if subject.grid.solvers:
        tried.append(configured.model_copy(update={"solver": "euler", "num_steps": 2, "guidance": guidance}))
    for sampler in tried:
        bench = diffusion_bench(subject.bench, retriever, sampler)
        why = attempt(partial(subject.call("r4t_diffusion", bench, "fan-out", batch), 0))
        if why is not None:
            return why
    print(f"compiled for batch {batch} in {time.perf_counter() - start:.1f} s", flush=True)
    return None
