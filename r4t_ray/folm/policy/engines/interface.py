"""Generation engines: they take prompts and return sampled completions with the sampler's log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import Field, NonNegativeFloat, PositiveInt

from r4t_ray.config import Operational, Settings


class EngineConfig(Settings):
    """The engine that samples from the fan-out language model."""

    type: Literal["auto", "vllm", "transformers"] = Field(
        "auto", description="The engine that samples. `auto` takes vLLM if it is installed, else transformers."
    )
    dtype: Literal["float32", "bfloat16", "auto"] = Field(
        "float32",
        description="Precision of weights and activations. Use bfloat16 on GPUs. With `auto` transformers takes the "
        "precision of the model's files, and vLLM bfloat16 in place of float32.",
    )
    max_model_len: PositiveInt = Field(
        192,
        description="Longest prompt with its answer, in tokens. vLLM reserves memory for this length. A query whose "
        "prompt is longer loses its last words.",
    )
    max_num_seqs: Operational[PositiveInt] = Field(256, description="Answers that vLLM samples at the same time.")
    structured_output: bool = Field(
        False,
        description="Sample only well-formed answers for pairs and evaluation, by vLLM's guided decoding. RL always "
        "samples without a grammar, because the learner's log-probabilities have none.",
    )
    weight_transfer: Operational[Literal["disk", "gloo", "nccl"]] = Field(
        "disk",
        description="How RL sends new weights to the engines. `disk` writes files, so learner and engines need a "
        "shared file system. `gloo` (CPU) and `nccl` (GPU) send them from memory. `nccl` is experimental: it has not "
        "run on GPUs yet.",
    )


class Sampling(Settings):
    """How completions are sampled. top_p is always 1, because log-probabilities would otherwise be biased."""

    num_samples: PositiveInt = Field(1, description="Completions of each prompt.")
    temperature: NonNegativeFloat = Field(0.9, description="Softmax temperature; 0 takes the most likely token.")
    max_tokens: PositiveInt = Field(160, description="Longest completion in tokens.")
    seed: int | tuple[int, ...] = Field(
        0,
        description="One seed for the whole batch, or one seed for each prompt. With a seed for each prompt, its "
        "samples do not depend on the other prompts.",
    )
    regex: str | None = Field(
        None, description="A regular expression that each completion must match, unless `max_tokens` cuts it off."
    )
    logprobs: bool = Field(True, description="Whether completions include log-probabilities.")


@dataclass(frozen=True, kw_only=True)
class Completion:
    """One sampled continuation.

    ``logprobs`` holds the log-probability of each token under the sampling distribution, temperature included.
    """

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


class Engine(Protocol):
    """Samples completions from a language model."""

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[list[Completion]]:
        """``num_samples`` completions of each prompt, which is given as token ids.

        The same seed and batch give the same completions.
        """
        ...

    def load_weights(self, model_dir: Path) -> None:
        """Load new weights of the same architecture from a directory."""
        ...

    def transfer(self, call: str, arguments: dict[str, Any]) -> None:
        """Run one call of vLLM's weight transfer, by which a learner sends new weights."""
        ...
