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
    return any(capabilities.get(feature, False) for feature in CPU_FEATURES)
