"""Time the training of the retriever: the worker of train-diffusion against a loop without Ray.

``python -m benchmarks.train_diffusion`` trains the network of jobs/configs/cookbook.yaml on random unit rows;
``--paper`` trains the network of arXiv 2603.06397 (Table 3, batches of 512). The variants run in turns and make the
same updates:

- bare loop: one process without Ray, with the pairs on its device and the same number of threads as the worker;
- all cores: on a CPU, the same loop with one thread per core;
- beside Ray: the bare loop, while a Ray Train worker waits and does nothing;
- cached: Ray Train, whose worker reads the pairs into the memory of its device;
- streamed: Ray Train, to which Ray Data streams the pairs from parquet.

A figure is the median over windows of ``--window`` steps. The first window of a turn is not counted, because it
includes startup and the first read. On a GPU the share of the matmul rate counts the matrix products and attention of
an update; the matmul rate is measured in the same run on one large bfloat16 product.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt

from benchmarks.harness import Benchmark, BenchmarkSettings, Result, Table, new_result
from benchmarks.tables.speed import train_diffusion_table

Variant = Literal["bare loop", "all cores", "beside Ray", "cached", "streamed"]
VARIANTS: tuple[Variant, ...] = ("bare loop", "all cores", "beside Ray", "cached", "streamed")
BARE = ("bare loop", "all cores")
CONFIG = Path("jobs/configs/cookbook.yaml")
PARQUET_ROWS = 50_000
"""Pairs of one file."""
NUM_ROWS, DIM = 12, 128
"""L and d of arXiv 2603.06397, Table 3, and of the cookbook."""


class TrainDiffusionSettings(BenchmarkSettings):
    """The network, the variants, and how long each is timed."""

    paper: bool = Field(False, description="Train the paper's network and batch size; else the cookbook's.")
    variants: tuple[Variant, ...] = Field(VARIANTS, description="The variants that are timed.")
    pairs: PositiveInt = Field(20_000, description="Training pairs.")
    batch: PositiveInt | None = Field(None, description="Pairs per update. Default: the configuration's.")
    turns: PositiveInt = Field(2, description="Runs of each variant.")
    windows: int = Field(5, ge=2, description="Windows per turn; the first one is not counted.")
    window: PositiveInt = Field(50, description="Steps per window.")
    compile: bool = Field(False, description="Compile the network with torch.compile, as `diffusion.compile` does.")


def measure(settings: TrainDiffusionSettings) -> Result:
    """Train with every variant, in turns."""
    import torch

    from benchmarks.learner import matrix_rate
    from r4t_ray.pipeline import set_up_logging

    set_up_logging()
    config = training_config(settings)
    rates: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as place:
        pairs = Path(place) / "pairs"
        write_random_pairs(pairs, settings.pairs)
        for turn in range(settings.turns):
            for variant in settings.variants:
                if not (variant == "all cores" and config.workers.gpus):
                    folder = Path(place) / f"{variant}-{turn}"
                    rates[variant] += turn_of(variant, settings, config, pairs, folder=folder, seed=turn)
    torch.set_num_threads(config.workers.num_threads)
    result = new_result("train_diffusion", settings)
    result.rows = [{"variant": variant, "samples_per_s": made} for variant, made in rates.items()]
    result.facts = {
        "device": torch.cuda.get_device_name() if config.workers.gpus else "cpu",
        "flops_a_pair": update_flops(config, config.network.for_pairs(NUM_ROWS, DIM)),
        "matrix_flops": matrix_rate("cuda" if config.workers.gpus else "cpu"),
        "config": config.model_dump(mode="json"),
    }
    return result


def turn_of(
    variant: Variant, settings: TrainDiffusionSettings, config: Any, pairs: Path, *, folder: Path, seed: int
) -> list[float]:
    """Samples/s of the counted windows of one turn."""
    from r4t_ray.machine.ray_sessions import connected_to_ray

    if variant in BARE:
        threads = config.workers.num_threads if variant == "bare loop" else len(os.sched_getaffinity(0))
        return bare_loop(config, pairs, settings, seed, threads)
    with connected_to_ray():
        if variant == "beside Ray":
            return beside_ray(config, pairs, settings, folder, seed)
        return ray_train(config, pairs, variant == "cached", folder, seed)


def training_config(settings: TrainDiffusionSettings) -> Any:
    """The DiffusionConfig of all variants, on a GPU if there is one."""
    import torch

    from r4t_ray.config import PerTask, SharingWorkers, load_settings
    from r4t_ray.experiment import Experiment

    paper = {"catalogue": {"type": "cookbook"}, "preset": "paper"}
    experiment = Experiment.model_validate(paper) if settings.paper else load_settings(Experiment, CONFIG)
    config = experiment.diffusion
    optimizer = config.optimizer.model_copy(
        update={
            "num_steps": settings.windows * settings.window,
            "batch_size": settings.batch or config.optimizer.batch_size,
        }
    )
    return config.model_copy(
        update={
            "optimizer": optimizer,
            "log_every": settings.window,
            "validation_rows": 0,
            "checkpoint_every": optimizer.num_steps + 1,
            "workers": SharingWorkers(gpus=float(torch.cuda.is_available())),
            "compile": settings.compile,
            "student": PerTask(oar=None, wscr=None),
            "anchors": PerTask(oar="rows", wscr="rows"),
        }
    )


def write_random_pairs(folder: Path, count: int) -> None:
    """Write training pairs of random unit rows in the columns of the pairs stage."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    folder.mkdir()
    for first in range(0, count, PARQUET_ROWS):
        size = min(PARQUET_ROWS, count - first)
        columns: dict[str, Any] = {"split": ["train"] * size, "weight": np.ones(size, np.int32)}
        for name, rows in (("z_q", 1), ("Z", NUM_ROWS)):
            values = rng.normal(size=(size, rows, DIM))
            values /= np.linalg.norm(values, axis=-1, keepdims=True)
            columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float16).ravel()), rows * DIM)
        pq.write_table(pa.table(columns), folder / f"part-{first}.parquet")


def bare_loop(config: Any, pairs: Path, settings: TrainDiffusionSettings, seed: int, threads: int) -> list[float]:
    """Samples/s of every window except the first, without Ray."""
    import torch

    from r4t_ray.diffusion.training.batches import PairCollate, cached_batches, load_pairs
    from r4t_ray.diffusion.training.learner import Learner
    from r4t_ray.diffusion.training.stage import prepare_task

    device = torch.device("cuda" if config.workers.gpus else "cpu")
    if not config.workers.gpus:
        torch.set_num_threads(threads)
    job = prepare_task(config, pairs, "oar")  # it sets the number of anchors
    known: dict[str, Any] = {"anchors_ND": job.anchors_ND, "hubness_N": job.hubness_N}
    learner = Learner(job.config, job.shape, "oar", seed=seed, rank=0, device=device, **known)
    loaded = load_pairs(pairs, "train", PairCollate(job.shape, job.mean_weight))
    tensors = {name: values.to(device) for name, values in loaded.items()}
    batches = cached_batches(tensors, config.optimizer.batch_size, seed)
    rates = []
    for _ in range(settings.windows):
        started = time.monotonic()
        losses = [
            learner.update(batch["z_q"], batch["Z"], batch["weight"]) for batch in islice(batches, settings.window)
        ]
        float(torch.stack(losses).mean())  # waits for the device, as the worker's log does
        rates.append(settings.window * config.optimizer.batch_size / (time.monotonic() - started))
    return rates[1:]


def beside_ray(config: Any, pairs: Path, settings: TrainDiffusionSettings, folder: Path, seed: int) -> list[float]:
    """Samples/s of ``bare_loop`` while a Ray Train worker waits."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    folder.mkdir()
    began, end = folder / "began", folder / "end"
    trainer = TorchTrainer(
        wait_between,
        train_loop_config={"began": str(began), "end": str(end)},
        scaling_config=ScalingConfig(num_workers=1, use_gpu=config.workers.gpus > 0),
        run_config=RunConfig(storage_path=str(folder)),
    )
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(trainer.fit)
        while not began.exists():
            assert not waiting.done(), waiting.exception()
            time.sleep(0.1)
        try:
            return bare_loop(config, pairs, settings, seed, config.workers.num_threads)
        finally:
            end.touch()


def wait_between(files: dict[str, str]) -> None:
    """The waiting worker: it creates the file ``began`` and waits for the file ``end``."""
    Path(files["began"]).touch()
    while not Path(files["end"]).exists():
        time.sleep(0.5)


def ray_train(config: Any, pairs: Path, is_cached: bool, folder: Path, seed: int) -> list[float]:
    """Samples/s of every window except the first, with the functions of the stage."""
    from r4t_ray.diffusion.training.stage import prepare_task, train_jobs

    config = config.model_copy(update={"cache_pairs": is_cached})
    folder.mkdir()
    metrics = train_jobs([prepare_task(config, pairs, "oar")], config, folder, seed)
    rates: list[float] = metrics["samples_per_s"].to_pylist()
    return rates[1:]


def update_flops(config: Any, network: Any) -> float:
    """Floating-point operations of matrix products and attention for one pair of an update, forward and backward."""
    import numpy as np
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from r4t_ray.diffusion.training.learner import Learner

    size = 8
    anchors_ND = np.zeros((network.num_anchors, network.dim), np.float32) if network.num_anchors else None
    learner = Learner(config, network, "oar", seed=0, rank=0, anchors_ND=anchors_ND)
    target_BLD = torch.nn.functional.normalize(torch.randn(size, network.num_rows, network.dim), dim=-1)
    # On a CPU the counter does not count fused attention; the math backend runs attention as matrix products.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        learner.update(target_BLD[:, 0], target_BLD, torch.ones(size))
    return counter.get_total_flops() / size


def tables(result: Result) -> list[Table]:
    """Samples/s of each variant, and the share of the matmul rate on a GPU."""
    device, flops, peak = (result.facts[name] for name in ("device", "flops_a_pair", "matrix_flops"))
    middles = {row["variant"]: statistics.median(row["samples_per_s"]) for row in result.rows}
    shares = ", ".join(f"{variant} {middle * flops / peak:.1%}" for variant, middle in middles.items())
    notes = [
        f"{device}: {flops / 1e9:.3g} GFLOP per pair; a bfloat16 product runs at {peak / 1e12:.3g} TFLOP/s. ",
        "Samples/s: median over windows, [minimum, maximum], and the ratio to the first variant.",
        *([f"share of the matmul rate: {shares}"] if device != "cpu" else []),
    ]
    return [replace(train_diffusion_table([(device, result)]), notes=notes)]


BENCHMARK = Benchmark(
    name="train_diffusion",
    settings=TrainDiffusionSettings,
    measure=measure,
    tables=tables,
    about=__doc__,
)

if __name__ == "__main__":
    BENCHMARK.main()
