"""The fan-out policy: a language model that writes sub-queries for a query (arXiv 2603.06397, sec. 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from r4t_ray.config import Resources
from r4t_ray.folm.policy.engines.factory import make_engine
from r4t_ray.folm.policy.engines.interface import Completion, Engine, Sampling
from r4t_ray.folm.policy.prompt import PromptStyle, answer_regex, parse_fan_out
from r4t_ray.folm.policy.tokens import fitted_prompt, prompt_tokens
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.types import Task

SubQueries = tuple[str, ...] | None
"""The sub-queries of one answer, at most k, in the order of the answer; None if the answer cannot be parsed."""


class FanOutModel:
    """A fan-out language model (FOLM): its engine, its tokenizer and its prompts."""

    def __init__(
        self,
        engine: Engine,
        *,
        tokenizer: Any,
        style: PromptStyle,
        max_tokens: int,
        max_prompt_tokens: int,
        is_structured: bool = False,
    ) -> None:
        self._engine, self._is_structured = engine, is_structured
        self._tokenizer, self._style = tokenizer, style
        self._max_tokens, self._max_prompt_tokens = max_tokens, max_prompt_tokens

    @classmethod
    def load(cls, model_dir: Path, config: FolmConfig, resources: Resources | None = None) -> FanOutModel:
        """Load a Hugging Face model directory into an engine.

        Args:
            model_dir: The directory.
            config: The settings that the model was trained with.
            resources: CPUs and GPUs of this process. The default is a rollout actor's resources.
        """
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(model_dir)
        engine = make_engine(model_dir, config.engine, resources or config.rollout)
        return cls(
            engine,
            tokenizer=tokenizer,
            style=config.prompt_style,
            max_tokens=config.max_completion_tokens,
            max_prompt_tokens=config.max_prompt_tokens,
            is_structured=config.engine.structured_output,
        )

    def load_weights(self, model_dir: Path) -> None:
        """Load new weights of the same architecture from a directory."""
        self._engine.load_weights(model_dir)

    def transfer(self, call: str, arguments: dict[str, Any]) -> None:
        """Run one call of vLLM's weight transfer."""
        self._engine.transfer(call, arguments)

    def prompt_ids(self, task: Task, query: str, k: int) -> tuple[int, ...]:
        """Token ids of the prompt, as the engine sees it."""
        return tuple(self._prompts(task, [query], k)[0])

    def complete(
        self, task: Task, queries: Sequence[str], k: int, *, num_samples: int, temperature: float, seed: int
    ) -> list[list[Completion]]:
        """Raw completions, ``num_samples`` for each query, sampled without a grammar."""
        sampling = Sampling(num_samples=num_samples, temperature=temperature, max_tokens=self._max_tokens, seed=seed)
        return self._generate(task, queries, k, sampling)

    def _generate(self, task: Task, queries: Sequence[str], k: int, sampling: Sampling) -> list[list[Completion]]:
        return self._engine.generate(self._prompts(task, queries, k), sampling)

    def _prompts(self, task: Task, queries: Sequence[str], k: int) -> list[list[int]]:
        fit = partial(fitted_prompt, k=k, style=self._style, tokenizer=self._tokenizer, most=self._max_prompt_tokens)
        return prompt_tokens([fit(task, query) for query in queries], self._style, self._tokenizer)

    def fan_out(
        self,
        task: Task,
        queries: Sequence[str],
        k: int,
        *,
        num_samples: int = 1,
        temperature: float = 0.9,
        seed: int | Sequence[int] = 0,
    ) -> list[list[SubQueries]]:
        """Parsed answers, ``num_samples`` for each query.

        With ``structured_output`` the engine samples only well-formed answers. ``seed`` is one seed for all queries, or
        one seed for each query, as in ``Sampling``.
        """
        sampling = Sampling(
            num_samples=num_samples,
            temperature=temperature,
            max_tokens=self._max_tokens,
            seed=seed if isinstance(seed, int) else tuple(seed),
            regex=answer_regex(k) if self._is_structured else None,
            logprobs=False,
        )
        rows = self._generate(task, queries, k, sampling)
        return [
            [parse_fan_out(completion.text, k, task=task, query=query, style=self._style) for completion in row]
            for query, row in zip(queries, rows, strict=True)
        ]


class SharedEngine:
    """One engine for several fan-out models, because loading weights is much faster than starting an engine.

    All models that ``at`` returned share the weights that were loaded last, so callers must take turns. ``weights`` is
    the directory that the engine has loaded. It is None after a failed load.

    Args:
        load: Starts the engine on a model directory, as ``FanOutModel.load`` does.
    """

    def __init__(self, load: Callable[[Path], FanOutModel]) -> None:
        self._load = load
        self._model: FanOutModel | None = None
        self.weights: Path | None = None

    def at(self, model_dir: Path) -> FanOutModel:
        """The model with the weights of ``model_dir``. All directories must hold the same architecture."""
        if self._model is None:
            self._model = self._load(model_dir)
        elif self.weights != model_dir:
            self.weights = None  # stays None if the load fails half-way
            self._model.load_weights(model_dir)
        self.weights = model_dir
        return self._model

    def transfer(self, call: str, arguments: dict[str, Any], weights: Path | None) -> None:
        """Run one call of a weight transfer, after the first ``at``. The last call names the weights that arrived."""
        assert self._model is not None
        self.weights = None
        self._model.transfer(call, arguments)
        self.weights = weights
