"""r4t_ray: train and serve a retriever that answers a broad query with a diverse set (arXiv 2603.06397), on Ray."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r4t_ray.retrieval.retriever import Retriever

__all__ = ["Retriever"]
__version__ = "0.2.0.dev0"

NOTHING_IS_SENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
}
"""Variables by which libraries send no statistics. They read them at import, so they are set here, unless they are set
already: a user may allow it."""
for _name, _value in NOTHING_IS_SENT.items():
    os.environ.setdefault(_name, _value)


def __getattr__(name: str) -> Any:
    """Load ``Retriever`` when it is first named, so that ``import r4t_ray`` stays light."""
    if name != "Retriever":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from r4t_ray.retrieval.retriever import Retriever

    return Retriever
