"""bfloat16 if the device multiplies it in hardware, unless the settings decide."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from r4t_ray.folm.policy import precision
from r4t_ray.folm.policy.precision import computes_in_bf16


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx2": True, "amx_bf16": False, "avx512_bf16": False}, False),
        ({"avx2": True, "amx_bf16": False, "avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"architecture": "aarch64"}, False),
    ],
)
def test_a_cpu_that_would_emulate_bfloat16_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(precision, "is_enabled_in_onednn", lambda: True)
    assert computes_in_bf16(None) is expected
    assert computes_in_bf16(True)
    assert not computes_in_bf16(False)


def test_a_process_that_is_kept_from_the_instructions_computes_in_float32() -> None:
    asked = "from r4t_ray.folm.policy.precision import computes_in_bf16; print(computes_in_bf16(None))"
    limited = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "CUDA_VISIBLE_DEVICES": ""}
    found = subprocess.run([sys.executable, "-c", asked], env=limited, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


@pytest.mark.parametrize("is_native", [True, False])
def test_a_gpu_decides_before_the_cpu(monkeypatch: pytest.MonkeyPatch, is_native: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: is_native)
    assert computes_in_bf16(None) is is_native
