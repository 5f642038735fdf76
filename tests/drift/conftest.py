"""The toy pools and the workspace of the evaluation's tests."""

from tests.evaluation.conftest import at, encode_by_hash, pool, workspace

__all__ = ["at", "encode_by_hash", "pool", "workspace"]
