"""Pace of the Soft-GRPO learner by itself, on random weights: tokens/s, and the share of the device's matrix rate.

``python -m benchmarks.learner --shape smollm2-135m`` steps the trainer of ``train-folm`` without Ray, one update a
batch. Samples are random tokens of one length, and making them takes no time: what is timed is trl's bookkeeping, the
check of 32 samples against the engine's log-probabilities, and the update. Float32 weights, bfloat16 autocast.

Tokens are those of prompts and answers. Counted are the operations of a model's matrices and its causal attention,
forward and backward, once: what gradient checkpointing computes again, and the check, are work of the device but not of
the model. The matrix rate is that of one large bfloat16 product, measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.stopwatch import provenance

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
"""Rows and columns of the product that the matrix rate is measured on."""


@dataclass(frozen=True)
class Pace:
    """One shape's row. Rates are medians over the counted steps; ``share`` is model FLOP/s over ``matrix_flops``."""

    shape: str
    device: str
    parameters: int
    trained: int
    tokens_a_step: int
    seconds: tuple[float, ...]
    tokens_per_s: float
    model_flops: float
    matrix_flops: float
    share: float
    peak_gib: float | None


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learner", description=__doc__.split("\n")[0])
    parser.add_argument("--shape", choices=("smollm2-135m", "qwen3-4b", "tiny"), default="smollm2-135m")
    parser.add_argument("--queries", type=int, default=8, help="of a step")
    parser.add_argument("--generations", type=int, default=8, help="samples of a query")
    parser.add_argument("--micro-batch", type=int, default=8, help="samples of one forward and backward pass")
    parser.add_argument("--prompt-tokens", type=int, default=128)
    parser.add_argument("--new-tokens", type=int, default=256)
    parser.add_argument("--lora-rank", type=int, help="train adapters of this rank alone")
    parser.add_argument("--steps", type=int, default=5, help="and two more that are not counted")
    parser.add_argument("--out", type=Path, help="JSON file that the row is added to")
    return parser


def main() -> None:
    """Measure one shape and print its row."""
    options = parser().parse_args()
    pace = measure(options)
    memory = "not measured" if pace.peak_gib is None else f"{pace.peak_gib:.1f} GiB"
    print(
        f"{pace.shape} on {pace.device}: {pace.parameters / 1e6:.1f}M parameters, {pace.trained / 1e6:.1f}M trained\n"
        f"{pace.tokens_a_step} tokens a step, median of {len(pace.seconds)} steps "
        f"{statistics.median(pace.seconds):.3f} s [{min(pace.seconds):.3f}, {max(pace.seconds):.3f}]\n"
        f"{pace.tokens_per_s:,.0f} tokens/s, {pace.model_flops / 1e12:.3g} model TFLOP/s, {pace.share:.1%} of the "
        f"{pace.matrix_flops / 1e12:.3g} TFLOP/s of a bfloat16 product; most memory {memory}"
    )
    if options.out:
        rows = json.loads(options.out.read_text()) if options.out.exists() else []
        row = asdict(pace) | provenance(options)
        options.out.write_text(json.dumps([*rows, row], indent=1))


def measure(options: argparse.Namespace) -> Pace:
    """Train for ``options.steps`` and two steps more, and time those after the first two."""
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, flops_a_sample = random_model(options)
    with tempfile.TemporaryDirectory() as place:
        trainer, marks = random_trainer(options, model, Path(place))
        trainer.train()
    seconds = tuple(after - before for before, after in pairwise(marks[1:]))
    samples = options.queries * options.generations
    tokens = samples * (options.prompt_tokens + options.new_tokens)
    middle = statistics.median(seconds)
    peak_gib = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else None
    rate = matrix_rate(device)
    return Pace(
        shape=options.shape,
        device=torch.cuda.get_device_name() if device == "cuda" else "cpu",
        parameters=sum(each.numel() for each in trainer.model.parameters()),
        trained=sum(each.numel() for each in trainer.model.parameters() if each.requires_grad),
        tokens_a_step=tokens,
        seconds=seconds,
        tokens_per_s=tokens / middle,
        model_flops=samples * flops_a_sample / middle,
        matrix_flops=rate,
        share=samples * flops_a_sample / middle / rate,
        peak_gib=peak_gib,
    )


def random_model(options: argparse.Namespace) -> tuple[Any, float]:
    """A model of the shape with float32 weights, and the floating-point operations of one sample's step."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from benchmarks.fanout_paper import QWEN3_4B, TINY_LM
    from r4t_ray.folm.learner.lora import LoRAConfig, add_adapters

    qwen = {"model_type": "qwen3"}
    shape = {"smollm2-135m": SMOLLM2_135M, "qwen3-4b": QWEN3_4B | qwen, "tiny": TINY_LM | qwen}[options.shape]
    config = AutoConfig.for_model(**shape)
    on_gpu = torch.cuda.is_available()
    with torch.device("cuda" if on_gpu else "cpu"):
        model = AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation="sdpa" if on_gpu else "eager"
        )
    flops = sample_flops(model, options.prompt_tokens, options.new_tokens, is_frozen=bool(options.lora_rank))
    if options.lora_rank:
        model = add_adapters(model, LoRAConfig(rank=options.lora_rank), seed=0)
    return model, flops


def sample_flops(model: Any, prompt_tokens: int, new_tokens: int, *, is_frozen: bool) -> float:
    """Forward and backward of one sample, the head at the new tokens alone.

    Two operations a weight and token forward and two for the gradient of what goes in; two more for that of the
    weights, unless they are frozen. A frozen model's adapters are not counted.
    """
    config = model.config
    length = prompt_tokens + new_tokens
    head = config.vocab_size * config.hidden_size
    body = sum(each.numel() for each in model.model.layers.parameters())
    attention = 2 * config.num_hidden_layers * config.num_attention_heads * config.head_dim * length**2
    return (4 if is_frozen else 6) * (body * length + head * new_tokens) + 3 * attention


def random_trainer(options: argparse.Namespace, model: Any, folder: Path) -> tuple[Any, list[float]]:
    """The stage's trainer on random samples, and the list that it adds a time to after every step."""
    from datasets import Dataset

    from r4t_ray.folm.learner.learner import grpo_arguments, set_reward
    from r4t_ray.folm.learner.trainer import SoftGRPOTrainer
    from r4t_ray.folm.settings import FolmConfig, SoftGRPOConfig

    steps = options.steps + 2
    grpo = SoftGRPOConfig(
        steps=steps,
        queries_per_step=options.queries,
        num_generations=options.generations,
        num_iterations=1,
        micro_batch_size=options.micro_batch,
        max_logp_gap=math.inf,  # random samples are of no policy
    )
    arguments = grpo_arguments(grpo, FolmConfig(max_completion_tokens=options.new_tokens), folder, seed=0)
    arguments.save_strategy = "no"
    vocabulary = min(model.config.vocab_size, NUM_IDS)
    clock, marks = stopwatch()
    trainer = SoftGRPOTrainer(
        model=model,
        processing_class=number_tokenizer(vocabulary),
        reward_funcs=set_reward,
        rollout_func=random_rollout(options, vocabulary, -math.log(model.config.vocab_size)),
        train_dataset=Dataset.from_dict({"prompt": [str(number) for number in range(steps * options.queries)]}),
        args=arguments,
        callbacks=[clock],
        rates=grpo.rates,
        beta_kl=grpo.beta_kl,
        beta_entropy=grpo.beta_entropy,
        max_logp_gap=grpo.max_logp_gap,
        bf16=True,
        engine_bf16=True,
    )
    return trainer, marks


def random_rollout(options: argparse.Namespace, vocabulary: int, logp: float) -> Callable[..., dict[str, Any]]:
    """What trl calls for samples: random ids below ``vocabulary``, each of the log-probability ``logp``."""
    import torch

    draw = torch.Generator().manual_seed(0)

    def rollout(prompts: list[str], _: Any) -> dict[str, Any]:
        def ids(length: int) -> list[list[int]]:
            made: list[list[int]] = torch.randint(2, vocabulary, (len(prompts), length), generator=draw).tolist()
            return made

        return {
            "prompt_ids": ids(options.prompt_tokens),
            "completion_ids": ids(options.new_tokens),
            "logprobs": [[logp] * options.new_tokens for _ in prompts],
            "set_reward": torch.rand(len(prompts), generator=draw).tolist(),
        }

    return rollout


def stopwatch() -> tuple[Any, list[float]]:
    """A trainer's callback that adds a time to the list after every step, once the device is done."""
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
    """A tokenizer of words that are numbers; the trainer decodes the samples with it."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<pad>": 0, "<eos>": 1} | {str(number): number for number in range(2, vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", padding_side="left"
    )


def matrix_rate(device: str, seconds: float = 1.0) -> float:
    """FLOP/s of a square bfloat16 product on random data, over at least ``seconds``."""
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


if __name__ == "__main__":
    main()
