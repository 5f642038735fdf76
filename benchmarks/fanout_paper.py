"""The shapes of arXiv 2603.06397, Table 3, with random weights: the diffusion and a language model of 4B parameters.

Random weights take the same time as trained weights, because the computation does not depend on their values. All timed
data is on the device: z_q (B, d) to unit rows (B, L, d), and prompt ids to new ids. Tokenizer, encoder and search are
not timed. The linear layers of the diffusion run in bfloat16, as in training; rows and noise levels stay in float32.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.evaluations import describe, evaluations_of, steps_within
from benchmarks.fanout import Mode
from benchmarks.stopwatch import BASELINE, Board, Call, Cell, attempt
from r4t_ray.config.presets import preset_values
from r4t_ray.diffusion import NetworkConfig, NoiseConfig, SamplerConfig, SolverName
from r4t_ray.diffusion.hub import DiffusionRetriever

PAPER_NETWORK = NetworkConfig.model_validate(preset_values("paper")["diffusion"]["network"])
TINY_NETWORK = NetworkConfig(hidden_size=32, mlp_size=32, num_heads=2, num_layers=2, num_anchors=0)
QWEN3_4B: dict[str, Any] = {
    "hidden_size": 2560,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "intermediate_size": 9728,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
TINY_LM = QWEN3_4B | {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "intermediate_size": 64,
    "vocab_size": 256,
}
WARM_UP_TOKENS = 8
LM_SHARE = 0.5
"""Share of the time limit for the language model."""
COMPILE_RESERVE_S = 45.0
"""The compiler starts on another batch size only if this many seconds are left."""


@dataclass(frozen=True, kw_only=True)
class PaperGrid:
    """What is timed.

    ``is_tiny`` takes shapes of a few thousand parameters, to try the program without a GPU. ``guidance`` applies to
    every diffusion row. The paper uses 0.1; a value above 0 doubles the batch size of each evaluation.
    """

    device: str
    batches: tuple[int, ...]
    evaluations: tuple[int, ...]
    solvers: tuple[SolverName, ...]
    modes: tuple[Mode, ...]
    guidance: float
    prompt_tokens: int
    new_tokens: int
    is_tiny: bool


def run(grid: PaperGrid, board: Board) -> None:
    """Time the language model, free its memory, then time the diffusion in each mode."""
    device = torch.device(grid.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "cpu"
    print(f"{name}, torch {torch.__version__}; bfloat16; random weights", flush=True)
    lm_bytes = measure_language_model(grid, board, name)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    print("\n".join(describe(evaluations) for evaluations in grid.evaluations))
    print(f"guidance {grid.guidance:g}: an evaluation is one batch of {2 if grid.guidance else 1} x the queries")
    measure_diffusion(grid, board, name)
    network_bytes = sum(parameter.numel() for parameter in random_retriever(grid, torch.device("cpu")).parameters()) * 2
    print(
        f"Arithmetic, not a measurement: in bfloat16 the language model's weights are {lm_bytes / 1e9:.3g} GB, read "
        f"once per new token, so {lm_bytes * grid.new_tokens / 1e9:.4g} GB for {grid.new_tokens} tokens at any batch "
        f"size; the diffusion's weights are {network_bytes / 1e9:.3g} GB, read once per evaluation.",
        flush=True,
    )


def measure_language_model(grid: PaperGrid, board: Board, name: str) -> int:
    """Time generation at every batch size; return the bytes of the model's parameters."""
    import transformers

    model = random_language_model(TINY_LM if grid.is_tiny else QWEN3_4B, torch.device(grid.device))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(
        f"language model: {parameters / 1e9:.3f}B parameters, {grid.prompt_tokens} prompt tokens, always "
        f"{grid.new_tokens} new tokens, sampled at temperature 0.9, attention {model.config._attn_implementation}. It "
        f"runs under transformers {transformers.__version__}; vLLM would be faster.",
        flush=True,
    )
    whole_deadline = board.deadline
    board.deadline -= (whole_deadline - time.perf_counter()) * (1 - LM_SHARE)
    tokens = {"prompt_tokens": grid.prompt_tokens, "new_tokens": grid.new_tokens}
    board.result.facts["language_model"] = {"parameters": parameters, **tokens}
    for batch in sorted(grid.batches):
        cell = Cell(what=BASELINE, scope="fan-out", device=name, dtype="bfloat16", mode="transformers", batch=batch)

        def make(batch: int = batch) -> Call:
            generate_tokens(model, batch, grid.prompt_tokens, min(WARM_UP_TOKENS, grid.new_tokens), seed=0)
            return lambda repeat: generate_tokens(model, batch, grid.prompt_tokens, grid.new_tokens, repeat)

        board.measure(cell, make)
        if grid.device == "cuda":
            torch.cuda.empty_cache()
    board.deadline = whole_deadline
    return parameters * 2


def random_language_model(shape: dict[str, Any], device: torch.device) -> Any:
    """A Qwen3 model of this shape with random bfloat16 weights on the device; it has no end-of-sequence token."""
    from transformers import AutoModelForCausalLM, Qwen3Config

    with device:
        model = AutoModelForCausalLM.from_config(Qwen3Config(**shape), dtype=torch.bfloat16)
    model = model.to(device).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    return model


@torch.inference_mode()
def generate_tokens(model: Any, batch: int, prompt_tokens: int, new_tokens: int, seed: int) -> Tensor:
    """Sample exactly ``new_tokens`` after random prompts; returns the ids of prompt and completion, (B, T)."""
    torch.manual_seed(seed)
    ids_BT = torch.randint(0, model.config.vocab_size, (batch, prompt_tokens), device=model.device)
    out_BT: Tensor = model.generate(
        input_ids=ids_BT,
        attention_mask=torch.ones_like(ids_BT),
        min_new_tokens=new_tokens,
        max_new_tokens=new_tokens,
        do_sample=True,
        temperature=0.9,
        top_k=0,
        top_p=1.0,
    )
    assert out_BT.shape == (batch, prompt_tokens + new_tokens), "no sequence ends early"
    return out_BT


def random_retriever(grid: PaperGrid, device: torch.device) -> DiffusionRetriever:
    """The paper's network with random weights in every layer, the same at every call.

    The weights of linear layers are bfloat16, because autocast would otherwise cast them at each call.
    """
    torch.manual_seed(0)
    retriever = DiffusionRetriever(
        TINY_NETWORK if grid.is_tiny else PAPER_NETWORK,
        NoiseConfig(sigma_min=1e-4, sigma_max=80.0),
        SamplerConfig(),
    )
    retriever.eval().requires_grad_(False)
    for parameter in retriever.parameters():
        nn.init.normal_(parameter, std=0.02)
    for module in retriever.modules():
        if isinstance(module, nn.Linear):
            module.to(torch.bfloat16)
    return retriever.to(device)


def measure_diffusion(grid: PaperGrid, board: Board, name: str) -> None:
    """Time every mode, batch size, solver and number of evaluations, in order of increasing evaluations."""
    device = torch.device(grid.device)
    retriever = random_retriever(grid, device)
    parameters = sum(parameter.numel() for parameter in retriever.parameters())
    print(f"diffusion: {parameters / 1e6:.2f}M parameters, {retriever.network.config!r}", flush=True)
    board.result.facts["diffusion"] = {
        "parameters": parameters,
        "network": retriever.network.config.model_dump(),
        "levels": retriever.sampler.levels,
        "guidance": grid.guidance,
    }
    reference = {batch: Sampler(retriever, grid, "eager", batch) for batch in grid.batches}
    for mode in grid.modes:
        compiled = random_retriever(grid, device) if mode.startswith("compile") else None
        for batch in sorted(grid.batches):
            sampler = Sampler(compiled or retriever, grid, mode, batch)
            why = sampler.unsound() or _compile(compiled, sampler, board)
            for solver in grid.solvers:
                for asked in sorted(grid.evaluations):
                    steps = steps_within(solver, asked)
                    count = evaluations_of(solver, steps)
                    cell = Cell(
                        what=f"diffusion {solver}",
                        scope="fan-out",
                        device=name,
                        dtype="bfloat16",
                        mode=mode,
                        batch=batch,
                        asked=asked,
                        steps=steps,
                        evaluations=count,
                    )
                    board.measure(cell, partial(sampler.call, solver, steps), why=why)
            if why is None and mode != "eager":
                failure = attempt(partial(print_agreement, sampler, reference[batch], grid))
                if failure is not None:
                    print(f"{mode}, batch {batch}: no comparison with eager mode, {failure}", flush=True)


def _compile(compiled: DiffusionRetriever | None, sampler: Sampler, board: Board) -> str | None:
    """Compile the network for the sampler's batch size; returns the reason when it cannot be compiled, else None."""
    if compiled is None:
        return None
    left_s = board.deadline - time.perf_counter()
    if left_s < COMPILE_RESERVE_S:
        return f"{max(left_s, 0):.0f} s of the run are left, and compiling may take {COMPILE_RESERVE_S:.0f} s"
    torch.compiler.reset()
    compiled.compile(fullgraph=True, dynamic=False)
    start = time.perf_counter()
    why = attempt(lambda: sampler.sample("euler", 2))
    board.synchronize()
    verdict = "compiled" if why is None else "did not compile"
    print(f"{verdict} for batch {len(sampler.z_q_BD)} in {time.perf_counter() - start:.1f} s", flush=True)
    return why


class Sampler:
    """The timed calls of one batch size in one mode; a captured graph reads its queries from ``z_q_BD``."""

    def __init__(self, retriever: DiffusionRetriever, grid: PaperGrid, mode: Mode, batch: int) -> None:
        self.retriever, self.guidance, self.mode = retriever, grid.guidance, mode
        self.device = torch.device(grid.device)
        generator = torch.Generator(self.device).manual_seed(batch)
        shape = (batch, retriever.network.config.dim)
        self.z_q_BD = functional.normalize(torch.randn(shape, generator=generator, device=self.device), dim=-1)

    def unsound(self) -> str | None:
        """The reason why this mode cannot run here; None when it can."""
        return "a CUDA graph needs CUDA" if "graph" in self.mode and self.device.type != "cuda" else None

    def sample(self, solver: SolverName, num_steps: int) -> Tensor:
        """z_BLD of the queries, with noise from the device's default generator."""
        with torch.autocast(self.device.type, torch.bfloat16):
            return self.retriever.generate(self.z_q_BD, num_steps=num_steps, solver=solver, guidance=self.guidance)

    def call(self, solver: SolverName, num_steps: int) -> Call:
        """The timed call: it samples new noise for the same queries; with a graph it also copies the queries."""
        if "graph" not in self.mode:
            return lambda _: self.sample(solver, num_steps)
        queries_BD, replay = self.z_q_BD.clone(), self.captured(solver, num_steps)

        def copy_and_replay(_: int) -> Tensor:
            self.z_q_BD.copy_(queries_BD)
            return replay()

        return copy_and_replay

    def captured(self, solver: SolverName, num_steps: int) -> Callable[[], Tensor]:
        """The whole sampler as one CUDA graph, noise included; each replay samples new noise."""
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            self.sample(solver, num_steps)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            rows_BLD = self.sample(solver, num_steps)

        def replay() -> Tensor:
            graph.replay()
            return rows_BLD

        return replay


def print_agreement(sampler: Sampler, eager: Sampler, grid: PaperGrid) -> None:
    """Print the lowest cosine between the rows of a mode and the rows of eager mode, with the same seed."""
    solver = grid.solvers[0]
    num_steps = steps_within(solver, sorted(grid.evaluations)[min(1, len(grid.evaluations) - 1)])
    call = sampler.call(solver, num_steps)
    torch.manual_seed(1)
    rows_BLD = torch.as_tensor(call(1)).clone()
    torch.manual_seed(1)
    cosine_BL = (rows_BLD * eager.sample(solver, num_steps)).sum(-1)
    print(
        f"{sampler.mode}, batch {len(sampler.z_q_BD)}: lowest cosine of a row with the row of eager mode, {solver}, "
        f"{num_steps} steps, same seed: {cosine_BL.min():.5f}",
        flush=True,
    )
