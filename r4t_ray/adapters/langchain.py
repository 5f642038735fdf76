"""A retriever for LangChain: ``pip install "r4t-ray[langchain]"``."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import run_in_executor
from pydantic import Field, PrivateAttr

from r4t_ray.adapters.found import find
from r4t_ray.retrieval.retriever import Retriever


class R4TRetriever(BaseRetriever):
    """Diverse documents for a broad query, best first.

    ``invoke(query, **fields)`` takes further fields of the request, which replace those of the retriever, such as
    ``filter={"eq": ["category", "tops"]}``. The metadata of a document hold its ``score``, its ``rank``, the labels of
    the ``directions`` that found it, and its ``payload``.
    """

    place: str = Field(description="Folder of a workspace, or the address of `r4t serve`.")
    fields: dict[str, Any] = Field(
        default_factory=dict,
        description='Fields of every request, such as {"total": 20, "task": "wscr"}. `total` is 10 by default.',
    )
    _retriever: Retriever = PrivateAttr()

    def model_post_init(self, context: Any) -> None:
        """Open the workspace. Raises ArtifactError if it cannot be served."""
        self._retriever = Retriever(self.place)

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, **fields: Any
    ) -> list[Document]:
        return self._documents(query, fields)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, **fields: Any
    ) -> list[Document]:
        return await run_in_executor(None, self._documents, query, fields)

    def _documents(self, query: str, fields: dict[str, Any]) -> list[Document]:
        return [
            Document(id=one.id, page_content=one.text, metadata=one.metadata)
            for one in find(self._retriever, query, {**self.fields, **fields})
        ]
