"""Environment and fixtures that every test shares.

The environment is set before any library is imported: Ray, torch and the tokenizers read it at import.
"""

from __future__ import annotations

import os

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    # On a busy machine a proxy takes longer than Serve's five seconds.
    "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "90",
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}
os.environ.update(ENVIRONMENT)
# Without RAY_AUTH_MODE a local Ray asks for a token, as it does for users.
for _stray in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_JOB_ID"):
    os.environ.pop(_stray, None)

import json  # noqa: E402 - the environment above comes first
import shutil  # noqa: E402 - the environment above comes first
import sys  # noqa: E402 - the environment above comes first
import uuid  # noqa: E402 - the environment above comes first
from collections.abc import Iterator  # noqa: E402
from dataclasses import dataclass  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

import psutil  # noqa: E402
import pytest  # noqa: E402

from r4t_ray.artifacts import Workspace  # noqa: E402
from r4t_ray.config import Settings  # noqa: E402
from r4t_ray.types import TASKS, Task  # noqa: E402
from tests.processes import family, kill_all  # noqa: E402

REPOSITORY = Path(__file__).parents[1]
SEED = 3
DIM = 16
NUM_ROWS = 6
MAINS = ("lentil", "tomato", "chicken", "rice", "salmon", "mushroom", "pumpkin", "bean")
FORMS = ("soup", "salad", "stew", "curry", "pie", "bake")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that use the shared Ray come last, after those with clusters of their own."""
    shared = {item.path for item in items if "ray_session" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in shared)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the source tree."""
    return REPOSITORY


@dataclass(frozen=True, kw_only=True)
class SmokeRun:
    """`r4t pipeline` on the smoke configuration: its process, its workspace, and the file with what it says."""

    process: psutil.Popen
    workspace: Path
    log: Path


SMOKE = "jobs/configs/cookbook-smoke.yaml"


@pytest.fixture(scope="session")
def smoke_run(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmokeRun]:
    """The run, which may still be in progress."""
    folder = tmp_path_factory.mktemp("end-to-end")
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", "r4t_ray.cli", "pipeline", SMOKE, "--workspace", str(folder / "cookbook")]
    with (folder / "log").open("wb") as log:
        process = psutil.Popen(command, cwd=repository, env=environment, stdout=log, stderr=log)
    yield SmokeRun(process=process, workspace=folder / "cookbook", log=folder / "log")
    kill_all([*family(process), process])
    process.wait()


@pytest.fixture(scope="session", autouse=True)
def _early_smoke_run(request: pytest.FixtureRequest) -> None:
    """Start the run first, if a selected test reads it: it takes minutes, and most other tests keep one core busy."""
    if any("smoke_run" in getattr(item, "fixturenames", ()) for item in request.session.items):
        request.getfixturevalue("smoke_run")


@pytest.fixture(scope="session")
def ray_session() -> Iterator[str]:
    """One local Ray of two CPUs for the whole run; gives its namespace."""
    from r4t_ray.machine.ray_sessions import local_ray

    namespace = f"r4t-tests-{uuid.uuid4().hex[:8]}"
    with local_ray(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        namespace=namespace,
        object_store_memory=512 * 2**20,
    ):
        yield namespace


@pytest.fixture(scope="session")
def indexed_workspace(ray_session: str, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """48 dishes, ingested, embedded by MiniLM and indexed in two shards; for reading only."""
    from pydantic import TypeAdapter

    from r4t_ray import catalogue, encoders, index

    root = tmp_path_factory.mktemp("indexed")
    workspace = Workspace(root / "workspace")
    settings = TypeAdapter(catalogue.CatalogueConfig).validate_python(write_catalogue(root / "catalogue"))
    catalogue.run(settings, workspace, SEED)
    encoders.run(encoders.EncoderConfig(dim=DIM), workspace, SEED)
    index.run(index.IndexConfig(type="flat", num_shards=2), workspace, SEED)
    return workspace


def write_catalogue(folder: Path) -> dict[str, object]:
    """48 dishes of three ingredients each, as the user's own files; gives the catalogue's settings.

    An ingredient has its number as ``rank`` and its kind in the list ``roles``: main, form or staple.
    """
    folder.mkdir(parents=True, exist_ok=True)
    items = [*MAINS, *(f"{form} base" for form in FORMS), "salt", "olive oil", "garlic", "basil"]
    sets = [(main, form) for main in MAINS for form in FORMS]
    roles = ["main"] * len(MAINS) + ["form"] * len(FORMS) + ["staple"] * 4
    lines = [
        json.dumps({"item_id": f"i-{name}", "text": name, "attributes": {"rank": rank, "roles": [role]}})
        for rank, (name, role) in enumerate(zip(items, roles, strict=True))
    ]
    (folder / "items.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = [
        {
            "set_id": f"s-{main}-{form}",
            "title": f"{main} {form}",
            "item_ids": [f"i-{main}", f"i-{form} base", f"i-{items[-1 - number % 4]}"],
        }
        for number, (main, form) in enumerate(sets)
    ]
    (folder / "sets.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    paths = {"items": str(folder / "items.jsonl"), "sets": str(folder / "sets.jsonl")}
    return {"type": "sets", "staple_share": 0.9, **paths}


LABELS = ["lentil soups", "pies of pumpkin"]


def write_labels(path: Path) -> None:
    """Two sub-queries, with unit embeddings of their own, as the pairs stage writes them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    emb = pa.FixedSizeListArray.from_arrays(pa.array(np.eye(2, DIM, dtype=np.float16).ravel()), DIM)
    pq.write_table(pa.table({"text": LABELS, "count": [3, 1], "emb": emb}), path)


def settled(answer: Any) -> dict[str, Any]:
    """An answer, as an object or as JSON, without what differs each time: its id and its times; and without shards."""
    fields = dict(answer if isinstance(answer, dict) else answer.model_dump())
    for name in ("request_id", "timings_ms", "shards"):
        assert fields.pop(name)
    return fields


class NoSettings(Settings):
    """Settings of a stage that has none."""


def build_retrievers(
    workspace: Workspace,
    seed: int = SEED,
    solver: str = "heun",
    num_anchors: int = 0,
    tasks: tuple[Task, ...] = TASKS,
) -> None:
    """The pairs, diffusion and decoder folders. The retrievers have random weights; the decoder hardly learnt."""
    import torch

    from r4t_ray.decoder import DecoderConfig
    from r4t_ray.decoder import run as train_decoder
    from r4t_ray.diffusion import DiffusionRetriever
    from r4t_ray.diffusion.settings import NetworkConfig, NoiseConfig, SamplerConfig

    def save(folder: Path) -> int:
        network = NetworkConfig(
            num_rows=NUM_ROWS, dim=DIM, hidden_size=32, mlp_size=32, num_heads=2, num_layers=2, num_anchors=num_anchors
        )
        noise = NoiseConfig(sigma_min=0.05, sigma_max=1.0, sigma_data=DIM**-0.5)
        for task in tasks:
            torch.manual_seed(seed)
            retriever = DiffusionRetriever(network, noise, SamplerConfig(solver=solver, num_steps=6))
            with torch.no_grad():  # The output layers start at zero, which would hide query and seed of the weights.
                for parameter in retriever.parameters():
                    parameter.normal_(0, 0.3)
            retriever.save_pretrained(folder / task)
        write_labels(folder / "oar" / "labels.parquet")
        return len(tasks)

    def no_pairs(folder: Path) -> int:
        (folder / "pairs.txt").write_text("none", encoding="utf-8")
        return 0

    workspace.build("pairs", NoSettings(), seed, ["encoder", "index"], no_pairs)
    workspace.build("diffusion", NoSettings(), seed, ["encoder", "pairs"], save)
    if "wscr" in tasks:
        train_decoder(DecoderConfig(max_steps=2), workspace, seed)


ADDED_ITEMS = {"i-more lentil": "lentil", "i-quince jelly": "quince jelly"}
ADDED_SETS = {"s-quince-tart": "quince tart"}
"""Id -> text of the entries of ``grown_workspace``; the first item reads as the old item i-lentil does."""


@pytest.fixture(scope="session")
def grown_workspace(tiny_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The tiny workspace after `r4t add`."""
    from r4t_ray.new_entries import add

    folder = tmp_path_factory.mktemp("grown")
    shutil.copytree(tiny_workspace.root, folder / "workspace")
    items = [{"item_id": key, "text": text, "attributes": {"origin": "added"}} for key, text in ADDED_ITEMS.items()]
    sets = [{"set_id": key, "title": title, "item_ids": ["i-quince jelly"]} for key, title in ADDED_SETS.items()]
    for name, rows in (("items", items), ("sets", sets)):
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    workspace = Workspace(folder / "workspace")
    add(workspace, items=folder / "items.jsonl", sets=folder / "sets.jsonl")
    return workspace


@pytest.fixture(scope="session")
def tiny_workspace(indexed_workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The indexed workspace, with a retriever a task."""
    root = tmp_path_factory.mktemp("serve") / "workspace"
    shutil.copytree(indexed_workspace.root, root)
    workspace = Workspace(root)
    build_retrievers(workspace)
    return workspace
