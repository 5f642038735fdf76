"""Environment and fixtures that every test shares.

The environment is set before any library is imported: Ray, torch and the tokenizers read it at import.
"""

from __future__ import annotations

import os

ENVIRONMENT = {
    # A new local cluster of Ray 2.60 may ask for tokens; every test says which it wants.
    "RAY_AUTH_MODE": "disabled",
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
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}
os.environ.update(ENVIRONMENT)
for _stray in ("RAY_ADDRESS", "RAY_JOB_ID"):
    os.environ.pop(_stray, None)

import json  # noqa: E402 - the environment above comes first
import uuid  # noqa: E402 - the environment above comes first
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

from r4t_ray.artifacts import Workspace  # noqa: E402

REPOSITORY = Path(__file__).parents[1]
SEED = 3
DIM = 16
MAINS = ("lentil", "tomato", "chicken", "rice", "salmon", "mushroom", "pumpkin", "bean")
FORMS = ("soup", "salad", "stew", "curry", "pie", "bake")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Modules that use the shared Ray come last: the others' own clusters have the cores to themselves."""
    shared = {item.path for item in items if "ray_session" in getattr(item, "fixturenames", ())}
    items.sort(key=lambda item: item.path in shared)


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the source tree."""
    return REPOSITORY


@pytest.fixture(scope="session")
def ray_session() -> Iterator[str]:
    """One local Ray of two CPUs for the whole run; gives its namespace."""
    import ray

    namespace = f"r4t-tests-{uuid.uuid4().hex[:8]}"
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        namespace=namespace,
        object_store_memory=512 * 2**20,
    )
    yield namespace
    ray.shutdown()


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
    """48 dishes of three ingredients each, as the user's own files; gives the catalogue's settings."""
    folder.mkdir(parents=True, exist_ok=True)
    items = [*MAINS, *(f"{form} base" for form in FORMS), "salt", "olive oil", "garlic", "basil"]
    sets = [(main, form) for main in MAINS for form in FORMS]
    lines = [json.dumps({"item_id": f"i-{name}", "text": name}) for name in items]
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
