"""The threads of a process that answers queries: how many, and that those of OpenMP sleep while they wait."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from r4t_ray.machine.threads import limit_threads

PROGRAM = """
import os, sys

class Spy:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "faiss"):
            print(name, os.environ.get("OMP_WAIT_POLICY"))

sys.meta_path.insert(0, Spy())
from r4t_ray import Retriever
from r4t_ray.errors import R4TError
try:
    Retriever(sys.argv[1])
except R4TError:
    print("no workspace")
"""


@pytest.mark.parametrize("said", [None, "ACTIVE"])
def test_the_policy_is_set_before_torch_and_faiss_are_loaded(tmp_path: Path, said: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": said} if said else {}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    lines = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.split("\n")
    policy = said or "PASSIVE"
    assert {f"torch {policy}", f"faiss {policy}", "no workspace"} <= set(lines)
    assert not {line for line in lines if line.endswith("None")}


def test_numpys_matrix_products_have_the_threads_of_the_process() -> None:
    with threadpool_limits(2, user_api="blas"):
        assert limit_threads(1) == 1
        counts = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        assert counts == {1}
