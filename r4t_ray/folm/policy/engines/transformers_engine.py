"""Sampling by ``generate`` of transformers, for platforms without a vLLM wheel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from r4t_ray.config import Resources
from r4t_ray.folm.policy.engines.interface import Completion, EngineConfig, Sampling
from r4t_ray.folm.policy.tokens import end_token

BATCH = 128


class TransformersEngine:
    """A transformers model and its tokenizer."""

    def __init__(self, model_dir: Path, config: EngineConfig, resources: Resources) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if not resources.gpus:
            torch.set_num_threads(resources.num_threads)
        self._dtype = "auto" if config.dtype == "auto" else getattr(torch, config.dtype)
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._tokenizer = AutoTokenizer.from_pretrained(model_dir)
        self._model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=self._dtype).to(self._device).eval()
        self._stops = stop_tokens(self._tokenizer, self._model.generation_config)

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[list[Completion]]:
        """See ``Engine.generate``. Prompts that have their own seeds are sampled one after the other."""
        if isinstance(sampling.seed, tuple):
            alone = [sampling.model_copy(update={"seed": seed}) for seed in sampling.seed]
            return [self.generate([prompt], one)[0] for prompt, one in zip(prompts, alone, strict=True)]
        generator_state = torch.random.get_rng_state()
        torch.manual_seed(sampling.seed)
        flat = [prompt for prompt in prompts for _ in range(sampling.num_samples)]
        completions = [
            completion
            for start in range(0, len(flat), BATCH)
            for completion in self._generate_batch(flat[start : start + BATCH], sampling)
        ]
        torch.random.set_rng_state(generator_state)
        n = sampling.num_samples
        return [completions[start : start + n] for start in range(0, len(completions), n)]

    def load_weights(self, model_dir: Path) -> None:
        """Replace the parameters in place."""
        from transformers import AutoModelForCausalLM

        loaded = AutoModelForCausalLM.from_pretrained(model_dir, dtype=self._dtype)
        self._model.load_state_dict(loaded.state_dict())

    def transfer(self, call: str, arguments: dict[str, Any]) -> None:
        """Not supported. ``engine_name`` refuses the setting before an engine is made."""
        raise NotImplementedError(call)

    def _generate_batch(self, prompts: list[Sequence[int]], sampling: Sampling) -> list[Completion]:
        ids_BT, is_real_BT = left_padded(prompts)
        greedy = sampling.temperature == 0
        output = self._model.generate(
            input_ids=ids_BT.to(self._device),
            attention_mask=is_real_BT.to(self._device),
            eos_token_id=self._stops,
            pad_token_id=self._stops[0],
            do_sample=not greedy,
            temperature=None if greedy else sampling.temperature,
            top_p=None if greedy else 1.0,
            top_k=None if greedy else 0,
            max_new_tokens=sampling.max_tokens,
            output_logits=True,
            return_dict_in_generate=True,
        )
        ids_BT = output.sequences[:, ids_BT.shape[1] :]
        logits_BTV = torch.stack(output.logits, dim=1).float() / (sampling.temperature or 1.0)
        logprobs_BT = logits_BTV.log_softmax(-1).gather(-1, ids_BT[..., None])[..., 0]
        return [self._completion(ids_T, logprobs_T) for ids_T, logprobs_T in zip(ids_BT, logprobs_BT, strict=True)]

    def _completion(self, ids_T: torch.Tensor, logprobs_T: torch.Tensor) -> Completion:
        ids = ids_T.tolist()
        length = next((place + 1 for place, token in enumerate(ids) if token in self._stops), len(ids))
        text = self._tokenizer.decode(ids[:length], skip_special_tokens=True)
        return Completion(text=text, token_ids=tuple(ids[:length]), logprobs=tuple(logprobs_T[:length].tolist()))


def stop_tokens(tokenizer: Any, generation: Any) -> list[int]:
    """The ids that end an answer: the tokenizer's end token, and the ones that the model's generation config names.

    Raises:
        ConfigError: The tokenizer has no end token.
    """
    named = generation.eos_token_id
    return list(dict.fromkeys([end_token(tokenizer), *([named] if isinstance(named, int) else named or ())]))


def left_padded(prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, both (B, T). Padding is on the left, because the answer follows the last token.

    The id of a padding is 0 and is not seen, so that the model needs no pad token.
    """
    size = len(prompts), max(map(len, prompts))
    ids_BT, is_real_BT = torch.zeros(size, dtype=torch.long), torch.zeros(size, dtype=torch.long)
    for ids_T, is_real_T, prompt in zip(ids_BT, is_real_BT, prompts, strict=True):
        ids_T[size[1] - len(prompt) :] = torch.tensor(prompt)
        is_real_T[size[1] - len(prompt) :] = 1
    return ids_BT, is_real_BT
