"""Estimates the needs of train-folm: parameters, memory, tokens of a step, operations of learner and rollouts.

The estimates come from the model's configuration, so no weights are loaded. They count the logits but no other
activations, and no memory of allocators and libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from r4t_ray.encoders import resolve_model
from r4t_ray.folm.learner.lora import is_adapter, skeleton
from r4t_ray.folm.learner.optimizer import match_rates
from r4t_ray.folm.policy.loading import model_source
from r4t_ray.folm.policy.prompt import render_prompt
from r4t_ray.folm.policy.tokens import prompt_tokens
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.types import Task

BYTES = {"float32": 4, "bfloat16": 2, "auto": 2}
EXAMPLE_QUERY = "a light summer dinner by the sea for guests who like fish"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The estimates for one task.

    Memory is in bytes of one process. ``generate_flop`` and ``learn_flop`` are floating-point operations of one step,
    summed over all processes.
    """

    num_parameters: int
    num_trained: int
    learner_memory: Mapping[str, int]
    engine_memory: Mapping[str, int]
    samples_per_step: int
    prompt_tokens: int
    max_tokens_per_step: int
    generate_flop: float
    learn_flop: float


def plan(config: FolmConfig, task: Task) -> Plan:
    """Count the parameters of ``folm.base_model`` on the meta device, and compute the estimates of one task.

    Raises:
        ConfigError: The expression of a learning rate matches no parameter, or the prompt cannot be rendered.
        OSError: The model's configuration or tokenizer cannot be loaded.
    """
    from transformers import AutoTokenizer

    base, grpo = resolve_model(config.base_model), config.grpo[task]
    model = skeleton(base, config.lora)
    shape, parameters = model.config, dict(model.named_parameters())
    trained = [name for names in match_rates(model, grpo.rates).values() for name in names]
    num_trained = sum(parameters[name].numel() for name in trained)
    num = sum(weight.numel() for name, weight in parameters.items() if not is_adapter(name))
    tokenizer = AutoTokenizer.from_pretrained(**model_source(base))
    prompt = render_prompt(task, EXAMPLE_QUERY, config.k, config.prompt_style, tokenizer)
    prompt_length = len(prompt_tokens([prompt], config.prompt_style, tokenizer)[0])
    length = prompt_length + config.max_completion_tokens
    samples = grpo.queries_per_step * grpo.num_generations
    micro = min(grpo.micro_batch_size, samples // config.learner.num)
    width = BYTES[config.engine.dtype]
    cache = width * cache_numbers(shape)
    shards = config.learner.num if config.fsdp else 1
    # 2 operations for each parameter and token forward, 4 backward; one more forward pass checks the engine.
    return Plan(
        num_parameters=num,
        num_trained=num_trained,
        learner_memory={
            "weights, float32": 4 * sum(weight.numel() for weight in parameters.values()) // shards,
            "gradients": 4 * num_trained // shards,
            "Adam": 8 * num_trained // shards,
            "logits of a micro-batch, twice": 2 * 4 * micro * length * shape.vocab_size,
        },
        engine_memory={
            f"weights, {config.engine.dtype}": width * num,
            "key-value cache, every sequence at full length": cache
            * config.engine.max_num_seqs
            * config.engine.max_model_len,
        },
        samples_per_step=samples,
        prompt_tokens=prompt_length,
        max_tokens_per_step=samples * length,
        generate_flop=2.0 * num * samples * length,
        learn_flop=(2.0 + 6.0 * grpo.num_iterations) * num * samples * length,
    )


def cache_numbers(shape: Any) -> int:
    """How many numbers the key-value cache holds for each token, from a transformers configuration."""
    heads: int = getattr(shape, "num_key_value_heads", shape.num_attention_heads)
    head_dim: int = getattr(shape, "head_dim", None) or shape.hidden_size // shape.num_attention_heads
    return int(2 * shape.num_hidden_layers * heads * head_dim)


def describe(config: FolmConfig, task: Task, planned: Plan) -> list[str]:
    """The plan as lines of text."""
    actors, workers = config.rollout.num, config.learner.num
    learner, engine = (sum(memory.values()) for memory in (planned.learner_memory, planned.engine_memory))
    parts = "shards" if config.fsdp else "replicas"
    share = planned.learn_flop / workers / (planned.generate_flop / actors)
    return [
        f"{task}: {config.base_model}, {planned.num_parameters / 1e6:,.1f}M parameters, "
        f"{planned.num_trained / 1e6:,.1f}M of them trained",
        f"  learner, each of {workers} (all {parts}): {_gib(learner)} = {_terms(planned.learner_memory)}",
        f"  rollout engine, each of {actors}: {_gib(engine)} = {_terms(planned.engine_memory)}",
        f"  a step: {planned.samples_per_step} samples, prompts of about {planned.prompt_tokens} tokens, at most "
        f"{planned.max_tokens_per_step:,} tokens",
        f"  a learner computes {share:.1f} times the operations of a rollout actor; memory bandwidth often limits "
        "generation, so measure one step before you add learners or rollout actors",
    ]


def _terms(memory: Mapping[str, int]) -> str:
    return " + ".join(f"{_gib(size)} {name}" for name, size in memory.items())


def _gib(size: int) -> str:
    return f"{size / 2**30:.2f} GiB"
