"""The process of a learner does not import vLLM."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from r4t_ray.folm.learner.loop import keep_vllm_out_of_trl
keep_vllm_out_of_trl()
import r4t_ray.folm.learner.build
assert "trl.trainer.grpo_trainer" in sys.modules
assert "vllm" not in sys.modules, "trl imported vLLM"
"""


@pytest.mark.slow
def test_a_learner_does_not_import_vllm() -> None:
    subprocess.run([sys.executable, "-W", "ignore", "-c", PROGRAM], check=True, timeout=120)
