"""Time the Soft-GRPO learner alone, on random weights: tokens/s, and the share of the device's matmul rate.

``python -m benchmarks.learner --shape smollm2-135m`` runs the trainer of ``train-folm`` without Ray, with one update
per batch. It trains the fan-out language model (FOLM) on samples of random tokens, all of one length. The timed work is
trl's bookkeeping, the check of 32 samples against the log-probabilities of the engine, and the update. Weights are
float32 with bfloat16 autocast.

Tokens include prompt and completion. The counted operations are the matrix products and the causal attention of one
forward and one backward pass. Recomputation by gradient checkpointing and the check take time and are not counted. The
matmul rate is measured in the same run on one large bfloat16 product.
"""

from __future__ import annotations

import math
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt

from benchmarks.harness import Benchmark, BenchmarkSettings, Result, ResultRow, new_result
from benchmarks.tables.speed import learner_table

SMOLLM2_135M: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 576,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "head_dim": 64,
    "intermediate_size": 1536,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}
NUM_IDS = 256
MATRIX = {"cuda": 8192, "cpu": 1024}
"""Rows and columns of the square matrices that the matmul rate is measured on."""


class LearnerSettings(BenchmarkSettings):
    """The shape, the batch and the number of steps."""

    shape: Literal["smollm2-135m", "qwen3-4b", "tiny"] = Field("smollm2-135m", description="Shape of the model.")
    queries: PositiveInt = Field(8, description="Queries per step.")
    generations: PositiveInt = Field(8, description="Samples per query.")
    micro_batch: PositiveInt = Field(8, description="Samples of one forward and backward pass.")
    prompt_tokens: PositiveInt = Field(128, description="Tokens of a prompt.")
    new_tokens: PositiveInt = Field(256, description="Tokens of a completion.")
    lora_rank: PositiveInt | None = Field(
        None, description="Train adapters of this rank only. Default: all weights are trained."
    )
    steps: PositiveInt = Field(5, description="Counted steps; two uncounted steps run before them.")
    out: Path | None = Field(None, description="JSON file that the row is appended to.")


def measure(settings: LearnerSettings) -> Result:
    """Time one shape; the result holds the rows of ``--out`` as well, each with its settings and machine."""
    row = timed(settings)
    new = new_result("learner", settings)
    row |= {"settings": new.settings, "machine": new.machine, "versions": new.versions}
    known = Result.read(settings.out).rows if settings.out and settings.out.exists() else []
    return Result(benchmark="learner", rows=[*known, row])


def timed(settings: LearnerSettings) -> ResultRow:
    """Train for two steps, then for the counted ones; rates are medians over the counted steps.

    ``share`` is the model's FLOP/s divided by ``matrix_flops``, the matmul rate of the device.
    """
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, flops_a_sample = random_model(settings)
    with tempfile.TemporaryDirectory() as place:
        trainer, marks = random_trainer(settings, model, Path(place))
        trainer.train()
    seconds = [after - before for before, after in pairwise(marks[1:])]
    samples = settings.queries * settings.generations
    tokens = samples * (settings.prompt_tokens + settings.new_tokens)
    middle = statistics.median(seconds)
    rate = matrix_rate(device)
    return {
        "shape": settings.shape,
        "device": torch.cuda.get_device_name() if device == "cuda" else "cpu",
        "parameters": sum(each.numel() for each in trainer.model.parameters()),
        "trained": sum(each.numel() for each in trainer.model.parameters() if each.requires_grad),
        "tokens_a_step": tokens,
        "seconds": seconds,
        "tokens_per_s": tokens / middle,
        "model_flops": samples * flops_a_sample / middle,
        "matrix_flops": rate,
        "share": samples * flops_a_sample / middle / rate,
        "peak_gib": torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None,
    }


def random_model(settings: LearnerSettings) -> tuple[Any, float]:
    """A model of the shape with float32 weights, and the floating-point operations per sample of a step."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from benchmarks.fanout_paper import QWEN3_4B, TINY_LM
    from r4t_ray.folm.learner.lora import LoRAConfig, add_adapters

    qwen = {"model_type": "qwen3"}
    shape = {"smollm2-135m": SMOLLM2_135M, "qwen3-4b": QWEN3_4B | qwen, "tiny": TINY_LM | qwen}[settings.shape]
    config = AutoConfig.for_model(**shape)
    on_gpu = torch.cuda.is_available()
    with torch.device("cuda" if on_gpu else "cpu"):
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation="sdpa" if on_gpu else "eager"
        )
    flops = sample_flops(model, settings.prompt_tokens, settings.new_tokens, is_frozen=bool(settings.lora_rank))
    if settings.lora_rank:
        model = add_adapters(model, LoRAConfig(rank=settings.lora_rank), seed=0)
    return model, flops


def sample_flops(model: Any, prompt_tokens: int, new_tokens: int, *, is_frozen: bool) -> float:
    """Floating-point operations of forward and backward pass for one sample; the head counts for new tokens only.

    For each weight and token: two operations forward, two for the gradient of the input, and two for the gradient of
    the weight unless it is frozen. The adapters of a frozen model are not counted.
    """
    config = model.config
    length = prompt_tokens + new_tokens
    head = config.vocab_size * config.hidden_size
    body = sum(each.numel() for each in model.model.layers.parameters())
    attention = 2 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * length**2
    return (4 if is_frozen else 6) * (body * length + head * new_tokens) + 3 * attention


def random_trainer(settings: LearnerSettings, model: Any, folder: Path) -> tuple[Any, list[float]]:
    """The trainer of the stage on random samples, and the list that it fills with the end times of its steps."""
    from datasets import Dataset

    from r4t_ray.folm.learner.build import grpo_arguments
    from r4t_ray.folm.learner.rollout_bridge import set_reward
    from r4t_ray.folm.learner.settings import SoftGRPOConfig
    from r4t_ray.folm.learner.trainer import SoftGRPOTrainer
    from r4t_ray.folm.settings import FolmConfig

    steps = settings.steps + 2
    grpo = SoftGRPOConfig(
        num_steps=steps,
        queries_per_step=settings.queries,
        num_generations=settings.generations,
        num_iterations=1,
        micro_batch_size=settings.micro_batch,
        max_logp_gap=math.inf,  # random samples have no meaningful log-probabilities
    )
    arguments = grpo_arguments(grpo, FolmConfig(max_completion_tokens=settings.new_tokens), folder, seed=0)
    arguments.save_strategy = "no"
    vocabulary = min(model.config.vocab_size, NUM_IDS)
    clock, marks = stopwatch()
    trainer = SoftGRPOTrainer(
        model=model,
        processing_class=number_tokenizer(vocabulary),
        reward_funcs=set_reward,
        rollout_func=random_rollout(settings, vocabulary, -math.log(model.config.vocab_size)),
        train_dataset=Dataset.from_dict({"prompt": [str(number) for number in range(steps * settings.queries)]}),
        args=arguments,
        callbacks=[clock],
        grpo=grpo,
        bf16=True,
        engine_bf16=True,
    )
    return trainer, marks


def random_rollout(settings: LearnerSettings, vocabulary: int, logp: float) -> Callable[..., dict[str, Any]]:
    """The function that trl calls for samples: random ids below ``vocabulary``, each with log-probability ``logp``."""
    import torch

    draw = torch.Generator().manual_seed(0)

    def rollout(prompts: list[str], _: Any) -> dict[str, Any]:
        def ids(length: int) -> list[list[int]]:
            made: list[list[int]] = torch.randint(2, vocabulary, (len(prompts), length), generator=draw).tolist()
            return made

        return {
            "prompt_ids": ids(settings.prompt_tokens),
            "completion_ids": ids(settings.new_tokens),
            "logprobs": [[logp] * settings.new_tokens for _ in prompts],
            "set_reward": torch.rand(len(prompts), generator=draw).tolist(),
        }

    return rollout


def stopwatch() -> tuple[Any, list[float]]:
    """A trainer callback that waits for the device after every step, and the list of times that it fills."""
    import torch
    from transformers import TrainerCallback

    marks: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            marks.append(time.perf_counter())

    return Clock(), marks


def number_tokenizer(vocabulary: int) -> Any:
    """A tokenizer whose words are numbers; the trainer decodes the samples with it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1} | {str(number): number for number in range(2, vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )


def matrix_rate(device: str, seconds: float = 1.0) -> float:
    """FLOP/s of the product of two square bfloat16 matrices of random numbers, measured for at least ``seconds``."""
    import torch

    size = MATRIX[device]
    left, right = (torch.randn(size, size, device=device, dtype=torch.bfloat16) for _ in range(2))
    synchronize = torch.cuda.synchronize if device == "cuda" else lambda: None
    left @ right
    synchronize()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        for _ in range(10):
            left @ right
        synchronize()
        count += 10
    return count * 2 * size**3 / (time.perf_counter() - started)


BENCHMARK = Benchmark(
    name="learner",
    settings=LearnerSettings,
    measure=measure,
    tables=lambda result: [learner_table(result)],
    about=__doc__,
)

if __name__ == "__main__":
    BENCHMARK.main()
