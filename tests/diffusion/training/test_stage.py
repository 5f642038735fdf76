"""The stage through real Ray Train, with pairs from memory and from Ray Data, on toy pairs with a known answer.

Each query's rows scatter around its own unit centers.
"""

from __future__ import annotations

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from safetensors.torch import load_file

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.config import Settings, SharingWorkers
from r4t_ray.diffusion import (
    DiffusionConfig,
    DiffusionRetriever,
    OptimizerConfig,
    SamplerConfig,
    StudentConfig,
    run,
)
from r4t_ray.diffusion.denoiser import FIRST_NEARNESS
from r4t_ray.diffusion.hub import WEIGHTS
from r4t_ray.diffusion.settings import NetworkSettings, NoiseSettings
from r4t_ray.diffusion.training import stage
from r4t_ray.diffusion.training.anchors import commonest_rows, hubness
from r4t_ray.diffusion.training.batches import PairCollate, load_pairs
from r4t_ray.diffusion.training.learner import Learner
from r4t_ray.diffusion.training.metrics import METRICS
from r4t_ray.diffusion.training.worker import TaskJob
from r4t_ray.embedding_table import embedding_table
from r4t_ray.errors import DataError, MissingArtifactError
from r4t_ray.machine.ray_train_runs import SNAPSHOT, STAGING
from r4t_ray.stages import REFERENCE
from r4t_ray.types import POOLS, TASKS
from tests.processes import kill_driver, last_of, running, wait_for

# Most of the time is the start of Ray's worker processes; on a busy machine it takes minutes.
pytestmark = pytest.mark.timeout(900)

NUM_QUERIES, NUM_ROWS, DIM = 4, 3, 16
SCATTER = 0.02
NUM_STEPS, BATCH_SIZE = 300, 128
LOGGED_STEPS = [50, 100, 150, 200, 250, 300]
SEEDS = {"oar": 10, "wscr": 20}
CONFIG = DiffusionConfig(
    network=NetworkSettings(hidden_size=64, mlp_size=64, num_heads=4, num_layers=2, noise_dim=16, num_anchors=0),
    noise=NoiseSettings(
        sigma_min=0.01, sigma_max=20.0, train_levels="lognormal", lognormal_mean=-0.51, lognormal_std=1.2
    ),
    optimizer=OptimizerConfig(
        learning_rate=3e-3, warmup_steps=20, num_steps=NUM_STEPS, batch_size=BATCH_SIZE, ema_decay=0.99
    ),
    sampler={task: SamplerConfig(solver="heun", num_steps=12, guidance=0.1) for task in TASKS},
    row_matching="random",
    prior_weight=0.0,
    student={
        "oar": StudentConfig(
            optimizer=OptimizerConfig(
                learning_rate=3e-3, warmup_steps=20, num_steps=200, batch_size=128, ema_decay=0.98
            ),
            trajectory=SamplerConfig(solver="heun", num_steps=8, guidance=0.1),
        )
    },
    cache_pairs=True,
    log_every=50,
    validate_every=150,
    validation_rows=256,
    checkpoint_every=200,
)  # fmt: skip


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def queries_and_centers(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z_q_BD = unit(rng.normal(size=(NUM_QUERIES, DIM))).astype(np.float32)
    centers_BLD = unit(rng.normal(size=(NUM_QUERIES, NUM_ROWS, DIM))).astype(np.float32)
    return z_q_BD, centers_BLD


def write_pairs(folder: Path, seed: int, num_train: int, num_val: int, num_files: int = 2) -> None:
    """Parquet files in the shape of the pairs stage, train and val rows mixed."""
    rng = np.random.default_rng(seed + 1)
    z_q_BD, centers_BLD = queries_and_centers(seed)
    folder.mkdir(parents=True)
    num_pairs = num_train + num_val
    of_query = rng.integers(NUM_QUERIES, size=num_pairs)
    noisy = unit(centers_BLD[of_query] + SCATTER * rng.normal(size=(num_pairs, NUM_ROWS, DIM)))
    split = np.array(["train"] * num_train + ["val"] * num_val)
    rng.shuffle(split)
    for number, rows in enumerate(np.array_split(np.arange(num_pairs), num_files)):
        z_q = pa.array(z_q_BD[of_query[rows]].ravel())
        targets = pa.array(noisy[rows].astype(np.float16).ravel())
        table = pa.table(
            {
                "query_id": [f"q{query}" for query in of_query[rows]],
                "split": split[rows],
                "weight": np.ones(len(rows), np.int32),
                "z_q": pa.FixedSizeListArray.from_arrays(z_q, DIM),
                "Z": pa.FixedSizeListArray.from_arrays(targets, NUM_ROWS * DIM),
            }
        )
        pq.write_table(table, folder / f"part-{number}.parquet")


def workspace_with_pairs(root: Path, num_train: int = 6000) -> Workspace:
    workspace = Workspace(root)

    def make(folder: Path) -> int:
        (folder / "labels").mkdir()
        (folder / "labels" / "oar.parquet").write_bytes(b"names of directions")
        for task in TASKS:
            write_pairs(folder / task, SEEDS[task], num_train, num_val=300)
        return 2 * num_train

    def embed(folder: Path) -> int:
        for task in TASKS:
            ids = [f"e{number}" for number in range(NUM_QUERIES * NUM_ROWS)]
            pool_MD = queries_and_centers(SEEDS[task])[1].reshape(-1, DIM)
            pq.write_table(embedding_table(ids, pool_MD), folder / f"{POOLS[task]}.parquet")
        return 2 * NUM_QUERIES * NUM_ROWS

    workspace.build("encoder", Settings(), 0, [], embed)
    workspace.build("pairs", Settings(), 0, [], make)
    return workspace


@pytest.fixture(scope="module")
def trained(ray_session: str, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return run(CONFIG, workspace_with_pairs(tmp_path_factory.mktemp("workspace")), seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_generated_rows_lie_on_the_targets(trained: Artifact, task: str) -> None:
    rows_land_on_the_targets(trained, task)


def rows_land_on_the_targets(trained: Artifact, task: str) -> None:
    """Rows lie on their own query's centers, each center is reached, and no center of another task or query is."""
    retriever = DiffusionRetriever.from_pretrained(trained.path / task)
    z_q_BD, centers_BLD = (torch.from_numpy(array) for array in queries_and_centers(SEEDS[task]))
    num_draws = 32
    z_BLD = retriever.generate(z_q_BD.repeat_interleave(num_draws, 0), generator=torch.Generator().manual_seed(0))
    cosines_BLM = torch.einsum("bld,bmd->blm", z_BLD, centers_BLD.repeat_interleave(num_draws, 0))
    others_BLM = torch.einsum("bld,bmd->blm", z_BLD, centers_BLD.roll(1, 0).repeat_interleave(num_draws, 0))
    assert float(cosines_BLM.amax(dim=2).mean()) > 0.95
    assert float((cosines_BLM.amax(dim=1) > 0.9).float().mean()) > 0.85
    assert float(others_BLM.amax(dim=2).mean()) < 0.6


@pytest.mark.slow
def test_one_evaluation_of_the_student_lands_near_its_teachers_rows(trained: Artifact) -> None:
    teacher, student = (DiffusionRetriever.from_pretrained(trained.path / name) for name in ("oar", "oar/student"))
    z_q_BD = torch.from_numpy(queries_and_centers(SEEDS["oar"])[0]).repeat_interleave(32, 0)
    assert student.sampler.solver == "one_step"
    cosines = [
        float((one.generate(z_q_BD, generator=torch.Generator().manual_seed(1)) * end_BLD).sum(dim=-1).mean())
        for end_BLD in [teacher.generate(z_q_BD, generator=torch.Generator().manual_seed(1))]
        for one in (student, StepOnce(teacher))
    ]
    assert cosines[0] > max(0.8, cosines[1] + 0.1), cosines


class StepOnce:
    """A teacher that samples in one step."""

    def __init__(self, teacher: DiffusionRetriever) -> None:
        self._teacher = teacher

    def generate(self, z_q_BD: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return self._teacher.generate(z_q_BD, solver="one_step", generator=generator)


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_metrics_hold_losses_rates_and_validation(trained: Artifact, task: str) -> None:
    metrics = [row for row in pq.read_table(trained.file("metrics.parquet")).to_pylist() if row["task"] == task]
    assert [row["step"] for row in metrics] == LOGGED_STEPS
    assert [row["step"] for row in metrics if row["val_loss"] is not None] == [150, 300]
    assert metrics[-1]["loss"] < 0.5 * metrics[0]["loss"]
    assert metrics[-1]["val_loss"] < 0.4
    assert metrics[-1]["learning_rate"] < 1e-5 < metrics[0]["learning_rate"] < 3e-3
    assert all(row["samples_per_s"] > 0 for row in metrics)


@pytest.mark.slow
def test_the_artifact_holds_models_and_metrics_only(trained: Artifact) -> None:
    folders = (*TASKS, "oar/student")
    models = {f"{folder}/{name}" for folder in folders for name in ("model.safetensors", "config.json")}
    assert set(trained.manifest.files) == models | {"metrics.parquet", "oar/labels.parquet"}
    assert trained.file("oar/labels.parquet").read_bytes() == b"names of directions"


@pytest.mark.slow
def test_an_unchanged_stage_is_not_run_again(trained: Artifact) -> None:
    before = (trained.path / "manifest.json").stat().st_mtime_ns
    run(CONFIG, Workspace(trained.path.parent), seed=0)
    assert (trained.path / "manifest.json").stat().st_mtime_ns == before


def listed_checkpoints(staging: Path, task: str) -> list[Path]:
    """A task's part of the checkpoints that are in Ray Train's list, not only on disk."""
    listed = "".join(path.read_text() for path in staging.glob(f"*/{SNAPSHOT}"))
    return [path for path in staging.glob(f"*/*/{task}") if path.parent.name in listed]


def run_killing_a_worker(config: DiffusionConfig, workspace: Workspace, task: str) -> tuple[Artifact, list[Any], float]:
    """Run the stage and kill a worker at a checkpoint; returns the checkpoint's metrics and the time of the kill."""
    staging = workspace.root / "diffusion.partial" / STAGING
    with ThreadPoolExecutor() as pool:
        running = pool.submit(run, config, workspace, seed=0)
        while not (kept := listed_checkpoints(staging, task)):
            assert not running.done(), running.exception()
            time.sleep(0.02)
        before = pq.read_table(kept[0] / METRICS).to_pylist()
        workers = [each for each in psutil.Process().children(recursive=True) if "ray::RayTrainWorker" in each.name()]
        assert len(workers) == config.workers.num
        killed = time.time()
        workers[0].kill()
        return running.result(), before, killed


@pytest.mark.slow
def test_a_worker_killed_in_the_second_task_continues_it(ray_session: str, tmp_path: Path) -> None:
    """Two workers that stream; neither the first task nor the second up to its checkpoint is trained again."""
    changes = {"cache_pairs": False, "workers": SharingWorkers(num=2, cpus=0.5), "checkpoint_every": 100}
    config, workspace = CONFIG.model_copy(update=changes), workspace_with_pairs(tmp_path / "workspace")
    artifact, before, killed = run_killing_a_worker(config, workspace, TASKS[1])
    assert artifact.file(f"{TASKS[0]}/{WEIGHTS}").stat().st_mtime < killed
    rows = pq.read_table(artifact.file(METRICS)).to_pylist()
    assert [(row["task"], row["step"]) for row in rows] == [(task, step) for task in TASKS for step in LOGGED_STEPS]
    assert len(before) >= 2
    assert rows[len(LOGGED_STEPS) :][: len(before)] == before  # also samples_per_s, which differs in every run
    for task in TASKS:
        rows_land_on_the_targets(artifact, task)


@pytest.mark.slow
@pytest.mark.parametrize("cache_pairs", [True, False])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_killed_worker_changes_no_result(
    ray_session: str, tmp_path: Path, num_workers: int, cache_pairs: bool
) -> None:
    """With dropout, and from a checkpoint within an epoch, within a block and between two log lines."""
    network = CONFIG.network.model_copy(update={"dropout": 0.1, "attention_dropout": 0.1})
    workers = {"workers": SharingWorkers(num=num_workers, cpus=1 / num_workers)}
    changes = {"network": network, "cache_pairs": cache_pairs, "shuffle_rows": 1500, **workers}
    config = CONFIG.model_copy(update={**changes, "checkpoint_every": 80})
    unbroken = run(config, workspace_with_pairs(tmp_path / "unbroken"), seed=0)
    resumed, before, killed = run_killing_a_worker(config, workspace_with_pairs(tmp_path / "resumed"), TASKS[0])
    assert resumed.file(f"{TASKS[0]}/{WEIGHTS}").stat().st_mtime > killed
    assert before[-1]["step"] % 80 == 0
    assert_same(unbroken, resumed)


def assert_same(unbroken: Artifact, resumed: Artifact) -> None:
    """The losses and weights of two runs with a checkpoint every 80 steps."""
    logs = [pq.read_table(artifact.file(METRICS)) for artifact in (unbroken, resumed)]
    assert logs[0]["step"].to_pylist() == 2 * sorted({*LOGGED_STEPS, 80, 160, 240})
    assert logs[0].select(["task", "step"]).equals(logs[1].select(["task", "step"]))
    for name in ("loss", "val_loss", "learning_rate"):
        np.testing.assert_allclose(logs[0][name].to_numpy(), logs[1][name].to_numpy(), rtol=0, atol=1e-6)
    for folder in (*TASKS, "oar/student"):
        ours, theirs = (load_file(artifact.file(f"{folder}/{WEIGHTS}")) for artifact in (unbroken, resumed))
        assert ours.keys() == theirs.keys()
        assert all(float((ours[name] - theirs[name]).abs().max()) < 1e-6 for name in ours)


@pytest.mark.slow
def test_a_killed_driver_continues_its_task(repository: Path, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"checkpoint_every": 80})
    settings, log = tmp_path / "config.yaml", tmp_path / "log.txt"
    sections = {"catalogue": {"type": "cookbook"}, "encoder": {"dim": DIM}, "folm": {"k": NUM_ROWS}}
    sections |= {"pairs": {"num_rows": NUM_ROWS}, "diffusion": config.model_dump(mode="json")}
    settings.write_text(yaml.safe_dump(sections))
    unbroken, resumed = (workspace_with_pairs(tmp_path / name) for name in ("unbroken", "resumed"))

    def started(workspace: Workspace) -> AbstractContextManager[psutil.Process]:
        arguments = [str(settings), "--workspace", str(workspace.root)]
        return running("train-diffusion", arguments, repository, log)

    with started(resumed) as driver:
        half = resumed.root / "diffusion.partial"
        kept = wait_for(lambda: listed_checkpoints(half / STAGING, TASKS[1]), driver, log)
        before = pq.read_table(kept[0] / METRICS).to_pylist()
        kill_driver(driver)
    killed = time.time()
    assert (half / TASKS[0] / WEIGHTS).exists()
    for workspace in (resumed, unbroken):
        with started(workspace) as driver:
            assert driver.wait(timeout=600) == 0, last_of(log)
    first, second = (resumed.artifact("diffusion").file(f"{task}/{WEIGHTS}") for task in TASKS)
    assert first.stat().st_mtime < killed < second.stat().st_mtime
    rows = pq.read_table(resumed.artifact("diffusion").file(METRICS)).to_pylist()
    assert [row for row in rows if row["task"] == TASKS[1]][: len(before)] == before  # also samples_per_s
    assert_same(unbroken.artifact("diffusion"), resumed.artifact("diffusion"))


def test_only_tasks_with_pairs_are_trained(tmp_path: Path) -> None:
    assert stage.trained_tasks(Workspace(tmp_path)) == ["oar", "wscr"]
    (tmp_path / "pairs" / "wscr").mkdir(parents=True)
    assert stage.trained_tasks(Workspace(tmp_path)) == ["wscr"]


def test_trained_tasks_are_not_trained_again(ray_session: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was stopped after its metrics and before its artifact; one task's metrics are already removed."""
    workspace, folder = workspace_with_pairs(tmp_path / "workspace"), tmp_path / "half"
    for task in (*TASKS, STAGING):
        (folder / task).mkdir(parents=True)
    for place in (folder, folder / TASKS[1]):
        pq.write_table(pa.table({"step": [1, 2, 3]}), place / METRICS)
    monkeypatch.setattr(stage, "train_jobs", lambda *asked: pytest.fail("trained again"))
    assert stage._train_all(CONFIG, workspace, 0, folder) == 3
    assert [path.name for path in folder.rglob("*") if path.is_file()].count(METRICS) == 1
    assert not (folder / STAGING).exists()


def test_the_stage_takes_the_pool_of_oar_and_the_target_rows_of_wscr(
    ray_session: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = CONFIG.network.model_copy(update={"num_anchors": 5})
    jobs: dict[str, TaskJob] = {}

    def keep(asked: list[TaskJob], *_: object) -> pa.Table:
        jobs.update({job.task: job for job in asked})
        for task in TASKS:
            (tmp_path / "half" / task).mkdir(parents=True)
        return pa.table({"step": [1]})

    monkeypatch.setattr(stage, "train_jobs", keep)
    config, workspace = CONFIG.model_copy(update={"network": network}), workspace_with_pairs(tmp_path / "w", 300)
    stage._train_all(config, workspace, 0, tmp_path / "half")
    assert np.array_equal(jobs["oar"].anchors_ND, queries_and_centers(SEEDS["oar"])[1].reshape(-1, DIM))
    assert np.array_equal(jobs["wscr"].anchors_ND, commonest_rows(jobs["wscr"].pairs_folder, jobs["wscr"].shape))
    assert jobs["wscr"].shape.num_anchors == 5


@pytest.mark.slow
def test_a_truncated_list_of_checkpoints_costs_only_the_unfinished_task(
    ray_session: str, tmp_path: Path, trained: Artifact
) -> None:
    """Ray Train itself refuses to start from such a list."""
    workspace, kept = workspace_with_pairs(tmp_path), trained.path / TASKS[0]

    def cut_off(folder: Path) -> int:
        shutil.copytree(kept, folder / TASKS[0])
        shutil.copyfile(trained.path / METRICS, folder / TASKS[0] / METRICS)
        (folder / STAGING / "retrievers").mkdir(parents=True)
        (folder / STAGING / "retrievers" / SNAPSHOT).write_text('{"checkpoint_results": [', encoding="utf-8")
        raise InterruptedError

    with pytest.raises(InterruptedError):
        workspace.build("diffusion", CONFIG, 0, ["encoder", "pairs"], cut_off, resumes=True)
    before = (workspace.root / "diffusion.partial" / TASKS[0] / WEIGHTS).stat().st_mtime_ns
    resumed = run(CONFIG, workspace, seed=0)
    assert resumed.file(f"{TASKS[0]}/{WEIGHTS}").stat().st_mtime_ns == before
    assert resumed.file(f"{TASKS[1]}/{WEIGHTS}").stat().st_mtime_ns > before
    rows_land_on_the_targets(resumed, TASKS[1])


def test_a_retriever_whose_anchors_are_its_pool(tmp_path: Path) -> None:
    """Every entry is an anchor, on disk too; WSCR and a network without anchors read no pool. Seeds repeat."""
    workspace = workspace_with_pairs(tmp_path / "workspace", num_train=300)
    config = CONFIG.model_copy(
        update={"network": CONFIG.network.model_copy(update={"num_anchors": 4}), "prior_weight": 1.0}
    )
    assert stage.pool_of(CONFIG, workspace, "oar") is None
    assert stage.pool_of(config, workspace, "wscr") is None
    job = stage.prepare_task(
        config, workspace.root / "pairs" / "oar", "oar", pool=stage.pool_of(config, workspace, "oar")
    )
    pool_MD = queries_and_centers(SEEDS["oar"])[1].reshape(-1, DIM)
    assert job.anchors_ND is not None
    assert np.array_equal(job.anchors_ND, pool_MD)
    assert job.shape.prior == "nearness"
    assert np.allclose(job.hubness_N, hubness(pool_MD, queries_and_centers(SEEDS["oar"])[0]), atol=1e-3)
    assert (job.known, job.shape.num_keys) == (None, 0)
    some = next(job.pairs_folder.glob("*.parquet"))
    known = pq.read_table(some, filters=[("split", "=", "train")]).slice(0, 1)
    known = known.append_column("item_ids", pa.array([["e1", "e0"]]))
    pq.write_table(known, some.with_name(f"{REFERENCE}000000.parquet"))
    remembering = stage.prepare_task(config, some.parent, "oar", pool=stage.pool_of(config, workspace, "oar"))
    assert remembering.known is not None
    assert remembering.known.entries_TR.tolist() == [[1, 0]]
    assert (remembering.shape.num_keys, remembering.shape.num_key_entries) == (1, 2)
    some.with_name(f"{REFERENCE}000000.parquet").unlink()
    ranked = config.model_copy(update={"sampler": {task: SamplerConfig(solver="top_anchors") for task in TASKS}})
    with pytest.raises(DataError, match=rf"2 anchors.*{NUM_ROWS} or more.*dpmpp_2m"):
        stage.prepare_task(ranked, job.pairs_folder, "oar", pool=(["a", "b"], pool_MD[:2]))
    batch = load_pairs(job.pairs_folder, "train", PairCollate(job.shape, job.mean_weight), 128)
    known = {"anchors_ND": job.anchors_ND, "hubness_N": job.hubness_N}
    learners = [Learner(config, job.shape, "oar", seed=3, rank=0, **known) for _ in range(2)]
    for _ in range(3):
        losses = [float(one.update(batch["z_q"], batch["Z"], batch["weight"])) for one in learners]
        assert losses[0] == losses[1]
    trained = learners[0].ema.model
    assert trained.mixture.log_nearness.item() != pytest.approx(np.log(FIRST_NEARNESS), abs=1e-6)
    trained.save_pretrained(tmp_path / "saved")
    assert {file.suffix for file in (tmp_path / "saved").iterdir()} == {".json", ".safetensors", ".md"}
    loaded = DiffusionRetriever.from_pretrained(tmp_path / "saved")
    assert loaded.network.config.num_anchors == len(pool_MD)
    assert np.array_equal(loaded.mixture.hubness_N.numpy(), job.hubness_N)
    z_q_BD = torch.from_numpy(queries_and_centers(SEEDS["oar"])[0])
    z_BLD = loaded.generate(z_q_BD, solver="top_anchors")
    assert torch.equal(z_BLD, trained.generate(z_q_BD, solver="top_anchors"))
    assert (z_BLD[..., None, :] == torch.from_numpy(pool_MD)).all(dim=-1).any(dim=-1).all()


def test_too_few_pairs_are_refused(ray_session: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"100 training pairs.*128"):
        run(CONFIG, workspace_with_pairs(tmp_path, num_train=100), seed=0)


def test_missing_pairs_are_named(tmp_path: Path) -> None:
    workspace = workspace_with_pairs(tmp_path, num_train=10)
    shutil.rmtree(workspace.root / "pairs")
    with pytest.raises(MissingArtifactError, match="synthesize-pairs"):
        run(CONFIG, workspace, seed=0)


def test_toy_centers_differ() -> None:
    """The test above distinguishes queries: no center of one query is close to a center of another."""
    _, centers_BLD = queries_and_centers(SEEDS["oar"])
    flat = centers_BLD.reshape(-1, DIM)
    assert float(np.max(flat @ flat.T - 2 * np.eye(len(flat)))) < 0.8
