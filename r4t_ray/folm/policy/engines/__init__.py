"""Engines that sample completions: vLLM, or transformers where vLLM is not installed.

``interface`` holds what both share, ``factory`` chooses one of them.
"""
