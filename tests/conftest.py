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

import uuid  # noqa: E402 - the environment above comes first
from collections.abc import Iterator  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402

REPOSITORY = Path(__file__).parents[1]


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
        runtime_env={"env_vars": ENVIRONMENT},
    )
    yield namespace
    ray.shutdown()
