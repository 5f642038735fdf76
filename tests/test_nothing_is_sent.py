"""No library sends statistics unless a user allows it. Each is asked in a process without the tests' environment."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from r4t_ray import NOTHING_IS_SENT

PROBES = {
    "ray": "from ray._common.usage.usage_lib import usage_stats_enabled; print(usage_stats_enabled())",
    "huggingface_hub": "from huggingface_hub import constants; print(not constants.HF_HUB_DISABLE_TELEMETRY)",
    "haystack": "from haystack.telemetry._telemetry import telemetry; print(telemetry is not None)",
}
"""Library -> a program that prints whether it sends statistics."""


def ask(program: str, **allowed: str) -> str:
    bare = {name: value for name, value in os.environ.items() if name not in NOTHING_IS_SENT} | allowed
    done = subprocess.run([sys.executable, "-c", program], env=bare, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("library", PROBES)
def test_a_library_sends_nothing_by_default(library: str) -> None:
    assert ask(PROBES[library]) == "True"
    assert ask(f"import r4t_ray; {PROBES[library]}") == "False"


def test_a_user_may_allow_it() -> None:
    assert ask(f"import r4t_ray; {PROBES['ray']}", RAY_USAGE_STATS_ENABLED="1") == "True"


def test_the_variables_of_vllm_are_set() -> None:
    program = "import r4t_ray, os; print(os.environ['VLLM_NO_USAGE_STATS'], os.environ['DO_NOT_TRACK'])"
    assert ask(program) == "1 1"
