"""A retriever for LlamaIndex: ``pip install "r4t-ray[llama-index]"``."""

from __future__ import annotations

from typing import Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from r4t_ray.adapters.found import find
from r4t_ray.retrieval.retriever import Retriever


class R4TRetriever(BaseRetriever):
    """Diverse nodes for a broad query, best first.

    The metadata of a node hold its ``rank``, the labels of the ``directions`` that found it, and its ``payload``. They
    are left out of the text that a language model or an embedding reads.

    Args:
        place: Folder of a workspace, or the address of `r4t serve`.
        fields: Fields of every request, such as ``total=20``, ``task="wscr"`` and ``filter={...}``. ``total`` is 10 by
            default.

    Raises:
        ArtifactError: The workspace cannot be served.
    """

    def __init__(self, place: str, **fields: Any) -> None:
        self._retriever, self._fields = Retriever(place), fields
        super().__init__()

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return [
            NodeWithScore(
                node=TextNode(
                    id_=one.id,
                    text=one.text,
                    metadata=one.metadata,
                    excluded_llm_metadata_keys=[*one.metadata],
                    excluded_embed_metadata_keys=[*one.metadata],
                ),
                score=one.score,
            )
            for one in find(self._retriever, query_bundle.query_str, self._fields)
        ]
