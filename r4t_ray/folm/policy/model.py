"""The fan-out policy: queries in, lists of sub-queries out (arXiv 2603.06397, sec. 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from r4t_ray.folm.policy.engines.factory import make_engine
from r4t_ray.folm.policy.engines.interface import Completion, Engine, EngineConfig, Sampling
from r4t_ray.folm.policy.prompt import PromptStyle, answer_regex, parse_answer, render_prompt
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.types import Task

FanOut = tuple[str, ...] | None
"""Up to k sub-queries in the order they were written; None for an answer that cannot be parsed."""


class FanOutModel:
    """A language model that fans a query out, behind whichever engine is installed."""

    def __init__(self, engine: Engine, config: EngineConfig, tokenizer: Any, style: PromptStyle, max_tokens: int):
        self._engine, self._is_structured = engine, config.structured_output
        self._tokenizer, self._style, self._max_tokens = tokenizer, style, max_tokens

    @classmethod
    def load(cls, model_dir: Path, config: FolmConfig) -> FanOutModel:
        """Load a Hugging Face model directory into the engine of the settings that it was trained with."""
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(model_dir)
        engine = make_engine(model_dir, config.engine)
        return cls(engine, config.engine, tokenizer, config.prompt_style, config.max_completion_tokens)

    def load_weights(self, model_dir: Path) -> None:
        """Replace the weights by those of another directory of the same architecture."""
        self._engine.load_weights(model_dir)

    def transfer(self, call: str, arguments: dict[str, Any]) -> None:
        """One call of vLLM's weight transfer."""
        self._engine.transfer(call, arguments)

    def prompt_ids(self, task: Task, query: str, k: int) -> tuple[int, ...]:
        """Token ids of the prompt, as the engine sees it."""
        return tuple(self._tokenizer(render_prompt(task, query, k, self._style, self._tokenizer))["input_ids"])

    def complete(
        self, task: Task, queries: Sequence[str], k: int, *, num_samples: int, temperature: float, seed: int
    ) -> list[list[Completion]]:
        """Raw completions, ``num_samples`` a query, from the model's own distribution."""
        sampling = Sampling(num_samples=num_samples, temperature=temperature, max_tokens=self._max_tokens, seed=seed)
        return self._generate(task, queries, k, sampling)

    def _generate(self, task: Task, queries: Sequence[str], k: int, sampling: Sampling) -> list[list[Completion]]:
        prompts = [render_prompt(task, query, k, self._style, self._tokenizer) for query in queries]
        return self._engine.generate(prompts, sampling)

    def fan_out(
        self,
        task: Task,
        queries: Sequence[str],
        k: int,
        *,
        num_samples: int = 1,
        temperature: float = 0.9,
        seed: int | Sequence[int] = 0,
    ) -> list[list[FanOut]]:
        """Parsed fan-outs, ``num_samples`` a query; of the right form alone under ``structured_output``.

        ``seed`` is one for all queries or one for each, as in ``Sampling``.
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
        return [[parse_answer(completion.text, k) for completion in row] for row in rows]


class SharedEngine:
    """One engine for several fan-out models: starting it takes long, swapping its weights does not.

    A model handed out earlier answers with the weights asked for last, so callers take turns. ``weights`` is the
    directory that the engine has loaded; None where that failed.

    Args:
        load: Starts the engine on a model directory, as ``FanOutModel.load`` does.
    """

    def __init__(self, load: Callable[[Path], FanOutModel]) -> None:
        self._load = load
        self._model: FanOutModel | None = None
        self.weights: Path | None = None

    def at(self, model_dir: Path) -> FanOutModel:
        """The model with the weights of ``model_dir``, of the architecture of the first directory asked for."""
        if self._model is None:
            self._model = self._load(model_dir)
        elif self.weights != model_dir:
            self.weights = None  # a load that fails half-way leaves neither
            self._model.load_weights(model_dir)
        self.weights = model_dir
        return self._model

    def transfer(self, call: str, arguments: dict[str, Any], weights: Path | None) -> None:
        """One call of a weight transfer, after the first ``at``; the last one names the weights that arrived."""
        assert self._model is not None
        self.weights = None
        self._model.transfer(call, arguments)
        self.weights = weights
