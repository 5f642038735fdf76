"""Training speed of the retriever: train-diffusion's worker beside a bare loop over tensors in memory, as ratios.

``python -m benchmarks.train_diffusion`` trains the network of jobs/configs/cookbook.yaml, with ``--paper`` that of
arXiv 2603.06397 (Table 3, batches of 512), on random unit rows. In turns, all with the same updates:

- bare loop: one process without Ray, pairs on its device, as many threads as the worker has;
- all cores: on a CPU, the same loop with a thread for every core;
- beside Ray: the bare loop while a worker of Ray Train, with all that Ray has up for it, does nothing;
- cached: Ray Train, whose worker reads the pairs into its device's memory;
- streamed: Ray Train, fed by Ray Data from parquet.

A figure is the median of the windows of ``--window`` steps after the first, so neither a start nor the first read is
in it. On a GPU the share of the device's matrix rate is that of the products and attentions of an update, over one
large bfloat16 product measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.stopwatch import provenance

VARIANTS = ("bare loop", "all cores", "beside Ray", "cached", "streamed")
BARE = ("bare loop", "all cores")
CONFIG = Path("jobs/configs/cookbook.yaml")
PARQUET_ROWS = 50_000
"""Pairs of one file."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.train_diffusion", description=__doc__.split("\n")[0])
    parser.add_argument("--paper", action="store_true", help="the paper's network and batch, instead of the cookbook's")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--pairs", type=int, default=20_000)
    parser.add_argument("--batch", type=int, help="pairs of an update; default: the configuration's")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--windows", type=int, default=5, help="of a turn, the first of which is not counted")
    parser.add_argument("--window", type=int, default=50, help="steps")
    parser.add_argument("--compile", action="store_true", help="torch.compile the network, as diffusion.compile does")
    parser.add_argument("--out", type=Path, help="JSON file of all windows")
    return parser


def main() -> None:
    """Train by every variant in turns and print the table."""
    options = parser().parse_args()
    import torch

    from benchmarks.learner import matrix_rate
    from r4t_ray.pipeline import connected_to_ray, set_up_logging

    set_up_logging()
    config = settings_of(options)
    rates: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as place:
        pairs = Path(place) / "pairs"
        write_random_pairs(pairs, options.pairs, config)
        for turn in range(options.turns):
            for variant in options.variants:
                if variant == "all cores" and config.use_gpu:
                    continue
                if variant in BARE:
                    threads = config.num_threads if variant == "bare loop" else len(os.sched_getaffinity(0))
                    rates[variant] += bare_loop(config, pairs, options, turn, threads)
                    continue
                folder = Path(place) / f"{variant}-{turn}"
                with connected_to_ray():
                    if variant == "beside Ray":
                        rates[variant] += beside_ray(config, pairs, options, folder, turn)
                    else:
                        rates[variant] += ray_train(config, pairs, variant == "cached", folder, turn)
    torch.set_num_threads(config.num_threads)
    flops, peak = update_flops(config), matrix_rate("cuda" if config.use_gpu else "cpu")
    device = torch.cuda.get_device_name() if config.use_gpu else "cpu"
    print(table(rates, device, config, flops, peak))
    if options.out:
        more = {"device": device, "flops_a_pair": flops, "matrix_flops": peak, "config": config.model_dump()}
        figures = {**provenance(options), "samples_per_s": rates, **more}
        options.out.write_text(json.dumps(figures, indent=1))


def settings_of(options: argparse.Namespace) -> Any:
    """The DiffusionConfig of all variants, on a GPU where there is one."""
    import torch

    from r4t_ray.config import load_settings
    from r4t_ray.diffusion import DiffusionConfig
    from r4t_ray.experiment import Experiment

    config = DiffusionConfig() if options.paper else load_settings(Experiment, CONFIG).diffusion
    optimizer = config.optimizer.model_copy(
        update={
            "num_steps": options.windows * options.window,
            "batch_size": options.batch or config.optimizer.batch_size,
        }
    )
    return config.model_copy(
        update={
            "optimizer": optimizer,
            "log_every": options.window,
            "validation_rows": 0,
            "checkpoint_every": optimizer.num_steps + 1,
            "use_gpu": torch.cuda.is_available(),
            "compile": options.compile,
            "student": {},
        }
    )


def write_random_pairs(folder: Path, count: int, config: Any) -> None:
    """Training pairs of random unit rows, in the columns of the pairs stage."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    network, rng = config.network, np.random.default_rng(0)
    folder.mkdir()
    for first in range(0, count, PARQUET_ROWS):
        size = min(PARQUET_ROWS, count - first)
        columns: dict[str, Any] = {"split": ["train"] * size, "weight": np.ones(size, np.int32)}
        for name, rows in (("z_q", 1), ("Z", network.num_rows)):
            values = rng.normal(size=(size, rows, network.dim))
            values /= np.linalg.norm(values, axis=-1, keepdims=True)
            columns[name] = pa.FixedSizeListArray.from_arrays(
                pa.array(values.astype(np.float16).ravel()), rows * network.dim
            )
        pq.write_table(pa.table(columns), folder / f"part-{first}.parquet")


def bare_loop(config: Any, pairs: Path, options: argparse.Namespace, seed: int, threads: int) -> list[float]:
    """Samples/s of every window but the first, without Ray."""
    import torch

    from r4t_ray.diffusion.training.batches import PairCollate, cached_batches, load_pairs
    from r4t_ray.diffusion.training.learner import Learner
    from r4t_ray.diffusion.training.stage import prepare_task

    device = torch.device("cuda" if config.use_gpu else "cpu")
    if not config.use_gpu:
        torch.set_num_threads(threads)
    job = prepare_task(config, pairs, "oar")  # which counts the anchors
    learner = Learner(job.config, "oar", seed, 0, job.anchors_ND, device)
    loaded = load_pairs(pairs, "train", PairCollate(config.network, job.mean_weight))
    tensors = {name: values.to(device) for name, values in loaded.items()}
    batches = cached_batches(tensors, config.optimizer.batch_size, seed)
    rates = []
    for _ in range(options.windows):
        started = time.monotonic()
        losses = [
            learner.update(batch["z_q"], batch["Z"], batch["weight"]) for batch in islice(batches, options.window)
        ]
        float(torch.stack(losses).mean())  # waits for the device, as the worker's log does
        rates.append(options.window * config.optimizer.batch_size / (time.monotonic() - started))
    return rates[1:]


def beside_ray(config: Any, pairs: Path, options: argparse.Namespace, folder: Path, seed: int) -> list[float]:
    """Samples/s of ``bare_loop`` while a worker of Ray Train waits."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    folder.mkdir()
    began, end = folder / "began", folder / "end"
    trainer = TorchTrainer(
        wait_between,
        train_loop_config={"began": str(began), "end": str(end)},
        scaling_config=ScalingConfig(num_workers=1, use_gpu=config.use_gpu),
        run_config=RunConfig(storage_path=str(folder)),
    )
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(trainer.fit)
        while not began.exists():
            assert not waiting.done(), waiting.exception()
            time.sleep(0.1)
        try:
            return bare_loop(config, pairs, options, seed, config.num_threads)
        finally:
            end.touch()


def wait_between(files: dict[str, str]) -> None:
    """What the waiting worker does: make one file, and wait for the other."""
    Path(files["began"]).touch()
    while not Path(files["end"]).exists():
        time.sleep(0.5)


def ray_train(config: Any, pairs: Path, is_cached: bool, folder: Path, seed: int) -> list[float]:
    """Samples/s of every window but the first, by the functions that the stage calls."""
    from r4t_ray.diffusion.training.stage import prepare_task, train_jobs

    config = config.model_copy(update={"cache_pairs": is_cached})
    folder.mkdir()
    metrics = train_jobs([prepare_task(config, pairs, "oar")], config, folder, seed)
    rates: list[float] = metrics["samples_per_s"].to_pylist()
    return rates[1:]


def update_flops(config: Any) -> float:
    """Operations of the products and attentions of one pair's share of an update, forward and backward."""
    import numpy as np
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from r4t_ray.diffusion.training.learner import Learner

    network, size = config.network, 8
    anchors_ND = np.zeros((network.num_anchors, network.dim), np.float32) if network.num_anchors else None
    learner = Learner(config, "oar", 0, 0, anchors_ND)
    target_BLD = torch.nn.functional.normalize(torch.randn(size, network.num_rows, network.dim), dim=-1)
    # The counter knows attention by its products alone on a CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        learner.update(target_BLD[:, 0], target_BLD, torch.ones(size))
    return counter.get_total_flops() / size


def table(rates: dict[str, list[float]], device: str, config: Any, flops: float, peak: float) -> str:
    """Medians with the least and greatest window, ratios to the first variant, and shares of the matrix rate."""
    lines = [f"{'variant':<12} {'windows':>7} {'samples/s':>10} {'low':>10} {'high':>10} {'ratio':>6} {'share':>7}"]
    first = statistics.median(next(iter(rates.values())))
    for variant, made in rates.items():
        middle = statistics.median(made)
        share = f"{middle * flops / peak:>7.1%}" if config.use_gpu else f"{'-':>7}"
        lines.append(
            f"{variant:<12} {len(made):>7} {middle:>10,.0f} {min(made):>10,.0f} {max(made):>10,.0f} "
            f"{middle / first:>6.2f} {share}"
        )
    lines.append(
        f"{device}; batches of {config.optimizer.batch_size}; {flops / 1e9:.3g} GFLOP a pair; a bfloat16 product makes "
        f"{peak / 1e12:.3g} TFLOP/s. ratio: over the first row."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
