"""Retrievers for LangChain, LlamaIndex and Haystack, over a workspace or a running server: one file each."""
