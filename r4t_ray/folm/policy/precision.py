"""Whether training computes in bfloat16."""

from __future__ import annotations

import torch

CPU_FEATURES = ("amx_bf16", "avx512_bf16")
"""CPU features that multiply bfloat16. Without one of them torch emulates it, many times slower than float32."""


def computes_in_bf16(setting: bool | None) -> bool:
    """The setting; if it is None, whether this process's GPU or CPU multiplies bfloat16 in hardware."""
    if setting is not None:
        return setting
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(feature, False) for feature in CPU_FEATURES)
