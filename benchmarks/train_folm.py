"""Time Soft-GRPO training of the fan-out language model (FOLM): plain trl against this project, in turns.

``python -m benchmarks.train_folm WORKSPACE`` needs a workspace with finished catalogue, encoder and index stages. All
variants train the same model on the same queries with the same reward, batch size and number of passes:

- trl: GRPOTrainer with its own generate; the reward is computed in its process;
- ours: the learner under Ray Train and one rollout actor, which run one after the other;
- ours, overlapped: the same as ours with max_staleness 1;
- ours, 2 actors: the same as ours with two rollout actors.

The first step of a turn is not counted. Memory is the peak of the summed resident size of all processes. trl runs in
the process of the benchmark, so the memory that it keeps also counts in later turns.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt

from benchmarks.harness import POSITIONAL, Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.tables.speed import PARTS, train_folm_table
from r4t_ray.types import Task

Variant = Literal["trl", "ours", "ours, overlapped", "ours, 2 actors"]

VARIANTS: dict[Variant, dict[str, Any]] = {
    "trl": {},
    "ours": {},
    "ours, overlapped": {"max_staleness": 1},
    "ours, 2 actors": {"num_rollout_actors": 2},
}


class TrainFolmSettings(BenchmarkSettings):
    """The model, the batch and the variants."""

    workspace: Annotated[Path, POSITIONAL] = Field(
        description="Folder with finished catalogue, encoder and index stages."
    )
    task: Task = Field("oar", description="Task to train.")
    model: str = Field("package:r4t_ray/folm/base_model", description="Base model.")
    variants: tuple[Variant, ...] = Field(tuple(VARIANTS), description="The variants that are timed.")
    turns: PositiveInt = Field(2, description="Runs of each variant.")
    steps: PositiveInt = Field(5, description="Counted steps per turn; one uncounted step runs before them.")
    queries: PositiveInt = Field(16, description="Queries per step.")
    generations: PositiveInt = Field(8, description="Samples per query.")
    new_tokens: PositiveInt = Field(96, description="Most tokens of a completion.")
    threads: PositiveInt = Field(2, description="Threads of the learner, of each engine, and of trl's generate.")


def measure(settings: TrainFolmSettings) -> Result:
    """Run every variant in turns."""
    from r4t_ray.machine.ray_sessions import connected_to_ray
    from r4t_ray.pipeline import set_up_logging

    set_up_logging()
    result = new_result("train_folm", settings)
    steps: dict[str, list[ResultRow]] = defaultdict(list)
    memory: dict[str, int] = {}
    with connected_to_ray():
        for turn in range(settings.turns):
            for variant in settings.variants:
                run = run_trl if variant == "trl" else run_ours
                with peak_memory() as peak:
                    steps[variant] += run(settings, VARIANTS[variant], seed=turn)
                memory[variant] = max(memory.get(variant, 0), peak())
    result.rows = [{"variant": variant, **step} for variant, made in steps.items() for step in made]
    result.facts = {"peak_bytes": memory}
    return result


def training_config(settings: TrainFolmSettings, changes: dict[str, Any]) -> Any:
    """The FolmConfig of a variant."""
    from r4t_ray.folm import FolmConfig

    grpo = {
        "num_steps": settings.steps + 1,
        "queries_per_step": settings.queries,
        "num_generations": settings.generations,
        "micro_batch_size": settings.queries * settings.generations,
        "learning_rate": 1e-6,
        "lr_scheduler": "constant_with_warmup",
        "num_recombined": 0,
        "temperature": 1.0,
        "max_logp_gap": 0.5,
        "bf16": False,
        "checkpoint_every": settings.steps + 1,
        "max_staleness": changes.get("max_staleness", 0),
    }
    return FolmConfig.model_validate(
        {
            "base_model": settings.model,
            "tasks": [settings.task],
            "max_completion_tokens": settings.new_tokens,
            "reward": {"wscr": {"expected_share": 0.0}},
            "engine": {"max_model_len": 1024 if "package:r4t" not in settings.model else 192},
            "learner": {"threads": settings.threads},
            "rollout": {"num": changes.get("num_rollout_actors", 1), "cpus": 0.5, "threads": settings.threads},
            "grpo": {settings.task: grpo},
        }
    )


@contextmanager
def prepared(settings: TrainFolmSettings) -> Iterator[Path]:
    """A folder that holds the base model as ``warm_start``."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from r4t_ray.encoders import resolve_model

    with tempfile.TemporaryDirectory() as place:
        base = resolve_model(settings.model)
        AutoModelForCausalLM.from_pretrained(base, dtype="float32").save_pretrained(Path(place) / "warm_start")
        AutoTokenizer.from_pretrained(base).save_pretrained(Path(place) / "warm_start")
        yield Path(place)


def run_ours(settings: TrainFolmSettings, changes: dict[str, Any], seed: int) -> list[ResultRow]:
    """One turn of this project's training, with the functions of the stage; returns one row per counted step."""
    from r4t_ray.artifacts import Workspace
    from r4t_ray.folm.learner.job import LearnerJob
    from r4t_ray.folm.rollout.pool import RolloutPool
    from r4t_ray.folm.train import query_schedule, reinforce_task

    config, workspace = training_config(settings, changes), Workspace(settings.workspace)
    with prepared(settings) as folder:
        pool = RolloutPool(workspace, config, folder / "warm_start")
        try:
            schedule = query_schedule(settings.task, config, workspace, seed)
            job = LearnerJob(
                task=settings.task,
                config=config,
                folder=folder,
                schedule=schedule,
                validation=(),
                actors=pool.actors,
                seed=seed,
            )
            rows = reinforce_task(job)
        finally:
            pool.shutdown()
    return [
        {
            "samples": row.num_rollouts,
            "tokens": row.num_rollouts * row.mean_tokens,
            "seconds": row.seconds["step"],
            "parts": {part: row.seconds[part] for part in PARTS},
        }
        for row in rows[1:]
    ]


def run_trl(settings: TrainFolmSettings, changes: dict[str, Any], seed: int) -> list[ResultRow]:
    """One turn of plain trl with the same reward; returns one row per counted step."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import GRPOTrainer

    from r4t_ray.artifacts import Workspace
    from r4t_ray.folm.learner.build import grpo_arguments
    from r4t_ray.folm.policy.loading import load_trainable
    from r4t_ray.folm.policy.prompt import render_prompt
    from r4t_ray.folm.rollout.task_rewards import TaskRewards, score_texts
    from r4t_ray.folm.train import query_schedule

    torch.set_num_threads(settings.threads)
    config, workspace = training_config(settings, changes), Workspace(settings.workspace)
    rewards, grpo = TaskRewards(workspace, config), config.grpo[settings.task]
    schedule = query_schedule(settings.task, config, workspace, seed)
    by_id = {query.query_id: query for query in schedule}
    marks: list[tuple[float, float, int, int]] = []

    def set_reward(completions: list[str], completion_ids: list[Any], query_id: list[str], **_: Any) -> list[float]:
        started = time.monotonic()
        output = score_texts(rewards, [by_id[name] for name in query_id], completions, config)
        ended = time.monotonic()
        marks.append((ended, ended - started, len(completions), sum(map(len, completion_ids))))
        return [float(value) for value in output.total_B]

    with prepared(settings) as folder:
        tokenizer = AutoTokenizer.from_pretrained(folder / "warm_start", padding_side="left")
        prompts = [render_prompt(settings.task, q.text, config.k, config.prompt_style, tokenizer) for q in schedule]
        arguments = grpo_arguments(grpo, config, folder, seed)
        data = Dataset.from_dict({"prompt": prompts, "query_id": [query.query_id for query in schedule]})
        model = load_trainable(folder / "warm_start")
        trainer = GRPOTrainer(model, set_reward, arguments, train_dataset=data, processing_class=tokenizer)
        trainer.train()
    return [
        {"samples": samples, "tokens": tokens, "seconds": at - before[0], "parts": {"score": scoring}}
        for before, (at, scoring, samples, tokens) in pairwise(marks)
    ]


@contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """Yield a function that returns the peak resident size so far of this process and its children, in bytes."""
    import psutil

    most, done = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        root = psutil.Process()
        while not done.wait(0.2):
            size = 0
            for process in [root, *root.children(recursive=True)]:
                try:
                    size += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            most = max(most, size)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield lambda: most
    finally:
        done.set()
        thread.join()


BENCHMARK = Benchmark(
    name="train_folm",
    settings=TrainFolmSettings,
    measure=measure,
    tables=lambda result: [train_folm_table(result)],
    about=__doc__,
)

if __name__ == "__main__":
    BENCHMARK.main()
