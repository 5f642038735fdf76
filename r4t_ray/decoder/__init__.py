"""The item decoder of weakly supervised compositional retrieval (WSCR): a score for every item of the pool.

``scores`` has the formula in numpy. ``training`` fits it in torch, ``choice`` weighs its parts on validation queries,
and ``stage`` runs both. The settings and the formula load at once. Names that need torch or FAISS load when they are
first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from r4t_ray.decoder.scores import Decoder, QueryDecoder, item_scores, new_item_vectors
from r4t_ray.decoder.settings import DecoderConfig

if TYPE_CHECKING:
    from r4t_ray.decoder.files import OwnNumbers, PoolDecoder, index_folder, load_pool_decoder, load_query_decoder
    from r4t_ray.decoder.stage import run

__all__ = [
    "Decoder",
    "DecoderConfig",
    "OwnNumbers",
    "PoolDecoder",
    "QueryDecoder",
    "index_folder",
    "item_scores",
    "load_pool_decoder",
    "load_query_decoder",
    "new_item_vectors",
    "run",
]

_MODULES = {"run": "stage"} | dict.fromkeys(
    ("OwnNumbers", "PoolDecoder", "index_folder", "load_pool_decoder", "load_query_decoder"), "files"
)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
