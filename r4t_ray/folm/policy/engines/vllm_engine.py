"""Sampling by vLLM, in this process, on CPU or GPU."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from r4t_ray.config import Resources
from r4t_ray.folm.policy.engines.interface import Completion, EngineConfig, Sampling

CPU_KV_CACHE_GIB = "1"


class VLLMEngine:
    """A vLLM engine whose weights can be replaced in place.

    The engine core runs in this process, so it ends when its actor ends.
    """

    def __init__(self, model_dir: Path, config: EngineConfig, resources: Resources) -> None:
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", CPU_KV_CACHE_GIB)
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
        from vllm import LLM
        from vllm.config import WeightTransferConfig

        from r4t_ray.folm.weights.transfer import register_gloo

        register_gloo()
        if not resources.gpus:
            torch.set_num_threads(resources.num_threads)  # vLLM forbids this after its start

        self._llm = LLM(
            model=str(model_dir),
            dtype=config.dtype,
            max_model_len=config.max_model_len,
            max_num_seqs=config.max_num_seqs,
            enforce_eager=True,
            # A prompt in two parts ends the engine on a CPU: vLLM then sets back the offset of a seeded generator,
            # and torch's CPU generator has none.
            enable_chunked_prefill=None if resources.gpus else False,
            enable_prefix_caching=True,
            logprobs_mode="processed_logprobs",
            disable_log_stats=True,
            weight_transfer_config=WeightTransferConfig(config.weight_transfer)
            if config.weight_transfer != "disk"
            else None,
        )
        self._tokenizer = self._llm.get_tokenizer()

    def generate(self, prompts: Sequence[Sequence[int]], sampling: Sampling) -> list[list[Completion]]:
        """See ``Engine.generate``.

        Texts are decoded once, at the end. Decoding token by token takes a quarter of the time of sampling.
        """
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import StructuredOutputsParams

        form = StructuredOutputsParams(regex=sampling.regex) if sampling.regex else None
        given = sampling.seed
        seeds = given if isinstance(given, tuple) else [(given + place) % 2**31 for place in range(len(prompts))]
        params = [
            SamplingParams(
                n=sampling.num_samples,
                temperature=sampling.temperature,
                top_p=1.0,
                top_k=0,
                max_tokens=sampling.max_tokens,
                seed=seed,
                logprobs=0 if sampling.logprobs else None,
                flat_logprobs=True,
                detokenize=False,
                structured_outputs=form,
            )
            for seed in seeds
        ]
        assert len(params) == len(prompts)
        asked = [TokensPrompt(prompt_token_ids=list(prompt)) for prompt in prompts]
        outputs = self._llm.generate(asked, params, use_tqdm=False)
        return [[self._completion(choice, sampling.logprobs) for choice in output.outputs] for output in outputs]

    def load_weights(self, model_dir: Path) -> None:
        """Load all weights from a directory, and drop cached prefixes because the old weights computed them."""
        self._llm.collective_rpc("reload_weights", kwargs={"weights_path": str(model_dir)})
        self._use_new_weights()

    def transfer(self, call: str, arguments: dict[str, Any]) -> None:
        """See ``Engine.transfer``."""
        self._llm.collective_rpc(call, kwargs=arguments)
        if call == "finish_weight_update":
            self._use_new_weights()

    def _use_new_weights(self) -> None:
        self._llm.apply_model(repack_tied_head)
        self._llm.reset_prefix_cache()

    def _completion(self, choice: Any, has_logprobs: bool) -> Completion:
        ids, logprobs = tuple(choice.token_ids), tuple(choice.logprobs.logprobs) if has_logprobs else ()
        assert not has_logprobs or len(logprobs) == len(ids), (
            "logprobs=0 gives the log-probability of the sampled token alone"
        )
        text = self._tokenizer.decode(ids, skip_special_tokens=True)
        return Completion(text=text, token_ids=ids, logprobs=logprobs)


def repack_tied_head(model: Any) -> None:
    """Update a head that shares the embedding's weights, because on a CPU it holds a packed copy of them."""
    if getattr(model.config, "tie_word_embeddings", False):
        model.lm_head.weight = model.model.embed_tokens.weight
        model.lm_head.quant_method.process_weights_after_loading(model.lm_head)
