"""Generation engines: prompts in, sampled completions with the sampler's own log-probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import NonNegativeFloat, PositiveInt

from r4t_ray.config import Settings


class EngineConfig(Settings):
    """Which engine samples, and its limits.

    ``auto`` takes vLLM where it is installed and transformers elsewhere. ``threads`` = 0 leaves them to the engine.
    ``structured_output`` has vLLM sample answers of the right form alone, for pairs and evaluation, but for those that
    ``max_completion_tokens`` cuts off. In RL samples stay free: the learner's probabilities are those of no grammar,
    and the form is there to be learnt. ``weight_transfer`` says how RL's weights reach it: from a directory that the
    learner writes, on a file system that both see, or from the learner's memory by ``gloo`` (CPU) or ``nccl`` (GPUs).
    """

    type: Literal["auto", "vllm", "transformers"] = "auto"
    dtype: Literal["float32", "bfloat16", "auto"] = "float32"
    max_model_len: PositiveInt = 1024
    max_num_seqs: PositiveInt = 256
    threads: int = 0
    structured_output: bool = False
    weight_transfer: Literal["disk", "gloo", "nccl"] = "disk"


class Sampling(Settings):
    """How a completion is drawn; the whole distribution is kept (top_p = 1), or log-probabilities would be biased.

    ``seed`` is one for the whole batch, or one for each prompt, whose samples then do not depend on what stands beside
    it. Where ``regex`` is given, completions match it from end to end unless ``max_tokens`` cuts them off. Without
    ``logprobs`` an engine may leave those of its completions out.
    """

    num_samples: PositiveInt = 1
    temperature: NonNegativeFloat = 0.9
    max_tokens: PositiveInt = 160
    seed: int | tuple[int, ...] = 0
    regex: str | None = None
    logprobs: bool = True


@dataclass(frozen=True)
class Completion:
    """One sampled continuation; ``logprobs`` belong to the distribution sampled from, temperature included."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


class Engine(Protocol):
    """What samples completions from a model's weights."""

    def generate(self, prompts: Sequence[str], sampling: Sampling) -> list[list[Completion]]:
        """``num_samples`` completions of each prompt, the same for the same seed and batch; see ``Sampling.seed``."""
        ...

    def load_weights(self, model_dir: Path) -> None:
        """Replace the weights by those of another directory of the same architecture."""
        ...

    def transfer(self, call: str, arguments: dict[str, Any]) -> None:
        """One call of vLLM's weight transfer, which replaces the weights by those that a learner sends."""
        ...
