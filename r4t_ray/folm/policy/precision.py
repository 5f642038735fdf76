"""Whether training computes in bfloat16."""

from __future__ import annotations

import torch

CPU_FEATURES = ("amx_bf16", "avx512_bf16")
"""CPU features that multiply bfloat16. Without them torch emulates bfloat16, many times slower than float32."""


def computes_in_bf16(setting: bool | None) -> bool:
    """The setting. If it is None: whether the GPU or CPU of this process multiplies bfloat16 in hardware."""
    if setting is not None:
        return setting
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    # oneDNN has the matrix products. It may be kept from these features (ONEDNN_MAX_CPU_ISA).
    return any(capabilities.get(feature, False) for feature in CPU_FEATURES) and is_enabled_in_onednn()


def is_enabled_in_onednn() -> bool:
    """Whether oneDNN uses the instructions with which it multiplies bfloat16."""
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
