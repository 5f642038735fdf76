"""Pace of Soft-GRPO: plain trl beside ours, in one process tree and in turns, as ratios.

``python -m benchmarks.train_folm WORKSPACE`` takes a workspace whose ingest, embed and index stages are finished. All
variants train the same model on the same queries with the same reward, batch and number of passes:

- trl: GRPOTrainer with its own generate, the reward computed in its process;
- ours: the learner under Ray Train and one rollout actor, in step;
- ours, overlapped: max_staleness 1;
- ours, 2 actors.

The first step of a turn is not counted. Memory is the greatest resident size of the whole process tree;
trl runs in the benchmark's own process, and what it leaves there is in the rows of the turns after it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.stopwatch import provenance

VARIANTS: dict[str, dict[str, Any]] = {
    "trl": {},
    "ours": {},
    "ours, overlapped": {"max_staleness": 1},
    "ours, 2 actors": {"num_rollout_actors": 2},
}
PARTS = ("generate", "score", "load", "publish")


@dataclass(frozen=True)
class Step:
    """One step of a variant: samples, their tokens, seconds in all and by part; what is in no part is learning."""

    samples: int
    tokens: float
    seconds: float
    parts: dict[str, float]


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_folm", description=__doc__.split("\n")[0])
    parser.add_argument("workspace", type=Path, help="folder with finished ingest, embed and index stages")
    parser.add_argument("--task", choices=("oar", "wscr"), default="oar")
    parser.add_argument("--model", default="package:r4t_ray/folm/base_model")
    parser.add_argument("--variants", nargs="+", choices=tuple(VARIANTS), default=tuple(VARIANTS))
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5, help="of a turn, and one more that is not counted")
    parser.add_argument("--queries", type=int, default=16, help="of a step")
    parser.add_argument("--generations", type=int, default=8, help="samples of a query")
    parser.add_argument("--new-tokens", type=int, default=96)
    parser.add_argument("--threads", type=int, default=2, help="of the learner, the engines, and trl's generate")
    parser.add_argument("--out", type=Path, help="JSON file of all steps")
    return parser


def main() -> None:
    """Run every variant in turns and print the table."""
    options = parser().parse_args()
    steps: dict[str, list[Step]] = defaultdict(list)
    memory: dict[str, int] = {}
    from r4t_ray.pipeline import connected_to_ray, set_up_logging

    set_up_logging()
    with connected_to_ray():
        for turn in range(options.turns):
            for variant in options.variants:
                run = run_trl if variant == "trl" else run_ours
                with peak_memory() as peak:
                    steps[variant] += run(options, VARIANTS[variant], seed=turn)
                memory[variant] = max(memory.get(variant, 0), peak())
    print(table(steps, memory))
    if options.out:
        rows = {variant: [vars(step) for step in made] for variant, made in steps.items()}
        figures = {**provenance(options), "steps": rows, "peak_bytes": memory}
        options.out.write_text(json.dumps(figures, indent=1))


def settings_of(options: argparse.Namespace, changes: dict[str, Any]) -> Any:
    """The FolmConfig of a variant."""
    from r4t_ray.folm import FolmConfig

    grpo = {
        "steps": options.steps + 1,
        "queries_per_step": options.queries,
        "num_generations": options.generations,
        "micro_batch_size": options.queries * options.generations,
        "learning_rate": 1e-6,
        "bf16": False,
        "checkpoint_every": options.steps + 1,
        "max_staleness": changes.get("max_staleness", 0),
    }
    return FolmConfig.model_validate(
        {
            "base_model": options.model,
            "tasks": [options.task],
            "max_completion_tokens": options.new_tokens,
            "engine": {
                "max_model_len": 1024 if "package:r4t" not in options.model else 192,
                "threads": options.threads,
            },
            "learner_threads": options.threads,
            "num_rollout_actors": changes.get("num_rollout_actors", 1),
            "rollout_cpus": 0.5,
            "grpo": {options.task: grpo},
        }
    )


@contextmanager
def prepared(options: argparse.Namespace) -> Iterator[Path]:
    """A folder whose ``warm_start`` is the base model."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from r4t_ray.encoders import resolve_model

    with tempfile.TemporaryDirectory() as place:
        base = resolve_model(options.model)
        AutoModelForCausalLM.from_pretrained(base, dtype="float32").save_pretrained(Path(place) / "warm_start")
        AutoTokenizer.from_pretrained(base).save_pretrained(Path(place) / "warm_start")
        yield Path(place)


def run_ours(options: argparse.Namespace, changes: dict[str, Any], seed: int) -> list[Step]:
    """One turn of ours, by the functions that the stage calls."""
    from r4t_ray.artifacts import Workspace
    from r4t_ray.folm.rollout import RolloutPool
    from r4t_ray.folm.train import query_schedule, reinforce_task

    config, workspace = settings_of(options, changes), Workspace(options.workspace)
    with prepared(options) as folder:
        pool = RolloutPool(workspace, config, folder / "warm_start")
        try:
            schedule = query_schedule(options.task, config, workspace, seed)
            rows = reinforce_task(options.task, config, folder, schedule, pool, seed)
        finally:
            pool.shutdown()
    return [
        Step(
            row.num_rollouts,
            row.num_rollouts * row.mean_tokens,
            row.seconds["step"],
            {part: row.seconds[part] for part in PARTS},
        )
        for row in rows[1:]
    ]


def run_trl(options: argparse.Namespace, changes: dict[str, Any], seed: int) -> list[Step]:
    """One turn of plain trl with the same reward."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl import GRPOTrainer

    from r4t_ray.artifacts import Workspace
    from r4t_ray.folm.learner import grpo_arguments
    from r4t_ray.folm.prompt import parse_answer, render_prompt
    from r4t_ray.folm.task_rewards import TaskRewards
    from r4t_ray.folm.train import query_schedule
    from r4t_ray.folm.trainable import load_trainable

    torch.set_num_threads(options.threads)
    config, workspace = settings_of(options, changes), Workspace(options.workspace)
    rewards, grpo = TaskRewards(workspace, config), config.grpo_of(options.task)
    schedule = query_schedule(options.task, config, workspace, seed)
    by_id = {query.query_id: query for query in schedule}
    marks: list[tuple[float, float, int, int]] = []

    def set_reward(completions: list[str], completion_ids: list[Any], query_id: list[str], **_: Any) -> list[float]:
        started = time.monotonic()
        fan_outs = [parse_answer(text, config.k) for text in completions]
        output = rewards.score(options.task, [by_id[name] for name in query_id], fan_outs)[1]
        ended = time.monotonic()
        marks.append((ended, ended - started, len(completions), sum(map(len, completion_ids))))
        return [float(value) for value in output.total_B]

    with prepared(options) as folder:
        tokenizer = AutoTokenizer.from_pretrained(folder / "warm_start", padding_side="left")
        prompts = [render_prompt(options.task, q.text, config.k, config.prompt_style, tokenizer) for q in schedule]
        arguments = grpo_arguments(grpo, config, folder, seed)
        data = Dataset.from_dict({"prompt": prompts, "query_id": [query.query_id for query in schedule]})
        model = load_trainable(folder / "warm_start")
        trainer = GRPOTrainer(model, set_reward, arguments, train_dataset=data, processing_class=tokenizer)
        trainer.train()
    return [
        Step(samples, tokens, at - before[0], {"score": scoring})
        for before, (at, scoring, samples, tokens) in pairwise(marks)
    ]


@contextmanager
def peak_memory() -> Iterator[Callable[[], int]]:
    """Gives a function that says, in bytes, the greatest resident size of this process and all below it so far."""
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


def table(steps: dict[str, list[Step]], memory: dict[str, int]) -> str:
    """The table: medians over all steps of all turns; ratios to the first variant, and the share of each part."""
    lines = [
        f"{'variant':<18} {'steps':>5} {'samples/s':>9} {'tokens/s':>8} {'ratio':>6} {'generate':>8} {'score':>6} "
        f"{'load':>6} {'publish':>7} {'rest':>6} {'peak GiB':>8}"
    ]
    first: float | None = None
    for variant, made in steps.items():
        pace = statistics.median(step.samples / step.seconds for step in made)
        tokens = statistics.median(step.tokens / step.seconds for step in made)
        first = first or pace
        shares = [_share(made, part) for part in PARTS]
        known = [share for share in shares if share is not None]
        cells = " ".join(
            f"{'-' if share is None else f'{share:.0%}':>{width}}"
            for share, width in zip(shares, (8, 6, 6, 7), strict=True)
        )
        lines.append(
            f"{variant:<18} {len(made):>5} {pace:>9.1f} {tokens:>8.0f} {pace / first:>6.2f} {cells} "
            f"{max(0.0, 1 - sum(known)):>6.0%} {memory[variant] / 2**30:>8.2f}"
        )
    lines.append(
        "ratio: samples/s over the first row's. Shares are of the step's wall time; with overlap they may sum to more "
        "than 1. rest: learning, and for trl its generate too."
    )
    return "\n".join(lines)


def _share(made: Sequence[Step], part: str) -> float | None:
    shares = [step.parts[part] / step.seconds for step in made if part in step.parts]
    return statistics.median(shares) if shares else None


if __name__ == "__main__":
    main()
