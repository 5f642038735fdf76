"""r4t_ray: train and serve a retriever that answers a broad query with a diverse set (arXiv 2603.06397), on Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from r4t_ray.retrieval.retriever import Retriever

__all__ = ["Retriever"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load ``Retriever`` when it is first named, so that ``import r4t_ray`` stays light."""
    if name != "Retriever":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from r4t_ray.retrieval.retriever import Retriever

    return Retriever
