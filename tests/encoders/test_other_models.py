"""Encoders that other people made: prompts, code of their own, long texts, and vectors that are no direction."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from r4t_ray.artifacts import Workspace
from r4t_ray.config import Settings, parse_settings
from r4t_ray.encoders import EncoderConfig, load_embeddings, load_encoder, resolve_model, run
from r4t_ray.encoders.sentence_transformer import SentenceEncoder
from r4t_ray.encoders.stream import EmbedBatch
from r4t_ray.errors import ConfigError, DataError
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.new_entries import add
from r4t_ray.pipeline import find_fault
from r4t_ray.retrieval.backend import DirectionGenerator
from r4t_ray.retrieval.generation import GenerationRequest
from r4t_ray.rewards import BackTranslationConfig

from .test_embed import ITEMS, QUERIES, SETS, write_catalogue

TEXTS = ["lentil soup", "a hearty winter stew of beef, barley, carrots and a good deal of pepper"]
PROMPTS_FILE = "config_sentence_transformers.json"


def write_model(folder: Path, **settings: Any) -> Path:
    """MiniLM in a folder of its own, with these keys in its config_sentence_transformers.json."""
    source = Path(resolve_model(EncoderConfig().model))
    folder.mkdir()
    for file in source.iterdir():
        (folder / file.name).symlink_to(file)
    (folder / PROMPTS_FILE).unlink()
    (folder / PROMPTS_FILE).write_text(json.dumps(json.loads((source / PROMPTS_FILE).read_text()) | settings))
    return folder


@pytest.fixture(scope="module")
def plain() -> SentenceEncoder:
    return EncoderConfig().build()


@pytest.fixture(scope="module")
def e5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with the prompts of E5."""
    prompts = {"query": "query: ", "passage": "passage: "}
    return write_model(tmp_path_factory.mktemp("models") / "e5", prompts=prompts, default_prompt_name=None)


def prefixed(prompt: str) -> list[str]:
    return [prompt + text for text in TEXTS]


def largest_difference(left: Any, right: Any) -> float:
    return float(np.abs(left - right).max())


def test_a_model_without_prompts_embeds_both_kinds_alike(plain: SentenceEncoder) -> None:
    assert plain.prompts == {"query": "", "document": ""}
    assert np.array_equal(plain.encode(TEXTS), plain.encode(TEXTS, "document"))
    assert np.array_equal(plain.encode(TEXTS), plain.encode(TEXTS, ["query", "document"]))


def test_the_prompts_are_the_models_own_or_those_of_the_settings(plain: SentenceEncoder, e5: Path) -> None:
    own = EncoderConfig(model=str(e5)).build()
    assert own.prompts == {"query": "query: ", "document": "passage: "}
    queries, passages = plain.encode(prefixed("query: ")), plain.encode(prefixed("passage: "))
    assert largest_difference(own.encode(TEXTS), queries) < 1e-6
    assert largest_difference(own.encode(TEXTS, "document"), passages) < 1e-6
    assert largest_difference(own.encode(TEXTS, ["document", "query"]), [passages[0], queries[1]]) < 1e-5
    assert largest_difference(queries, passages) > 0.05
    given = EncoderConfig(model=str(e5), query_prompt="search_query: ", document_prompt="").build()
    assert largest_difference(given.encode(TEXTS), plain.encode(prefixed("search_query: "))) < 1e-6
    assert largest_difference(given.encode(TEXTS, "document"), plain.encode(TEXTS)) < 1e-6


def test_a_default_prompt_serves_both_kinds(tmp_path: Path) -> None:
    model = write_model(tmp_path / "default", prompts={"similarity": "text: "}, default_prompt_name="similarity")
    assert EncoderConfig(model=str(model)).build().prompts == {"query": "text: ", "document": "text: "}


def test_every_stage_takes_the_prompt_of_its_kind_in_every_folder(
    ray_session: str, plain: SentenceEncoder, e5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings name the model by a relative path, and the encoder is loaded in another folder."""
    monkeypatch.chdir(e5.parent)
    config = parse_settings(EncoderConfig, {"model": "e5", "dim": 384}, "here")
    workspace = Workspace(tmp_path / "workspace")
    workspace.build("catalogue", Settings(), 0, [], write_catalogue)
    run(config, workspace, seed=0)
    monkeypatch.chdir(tmp_path)
    encoder = load_encoder(workspace.artifact("encoder").path / "model")
    kinds = {"items": (ITEMS, "passage: "), "sets": (["Fruit salad. Salad recipes", "Toast"], "passage: ")}
    kinds["queries"] = (QUERIES, "query: ")
    assert len(SETS) == 2
    for kind, (texts, prompt) in kinds.items():
        emb_MD = load_embeddings(workspace, kind)[1]  # type: ignore[arg-type]
        native = plain.encode([prompt + text for text in texts])
        assert largest_difference(emb_MD @ emb_MD.T, native @ native.T) < 1e-4, kind
        asked = "query" if kind == "queries" else "document"
        assert largest_difference(emb_MD, encoder.encode(texts, asked)) < 1e-4  # type: ignore[arg-type]
    (tmp_path / "items.jsonl").write_text('{"item_id": "new", "text": "very ripe fruit number 8"}')
    add(workspace, items=tmp_path / "items.jsonl")
    from r4t_ray.new_entries import load_new_entries

    added = load_new_entries(workspace, "wscr")
    assert added is not None
    assert largest_difference(added.emb_MD[0], encoder.encode(["very ripe fruit number 8"], "document")[0]) < 1e-5


def test_terms_of_a_request_are_embedded_as_entries(e5: Path) -> None:
    request = GenerationRequest(task="oar", query="soup", seed=0, like=("stew",), avoid=("pie", "cake"))
    assert list(zip(request.texts, request.kinds, strict=True)) == [
        ("soup", "query"), ("stew", "document"), ("pie", "document"), ("cake", "document"),
    ]  # fmt: skip
    asked: list[Any] = []

    class Recorder:
        def encode(self, texts: list[str], kinds: list[str]) -> Any:
            asked.append((texts, kinds))
            raise InterruptedError

    with pytest.raises(InterruptedError):
        DirectionGenerator(Recorder(), {}, {})([request])  # type: ignore[arg-type]
    assert asked == [(request.texts, request.kinds)]


def test_a_model_with_code_of_its_own_is_refused_and_the_setting_runs_it(tmp_path: Path) -> None:
    model = write_model(tmp_path / "strange")
    config = json.loads((model / "config.json").read_text())
    own = {"AutoConfig": "configuration_strange.StrangeConfig", "AutoModel": "modeling_strange.StrangeModel"}
    (model / "config.json").unlink()
    (model / "config.json").write_text(json.dumps(config | {"model_type": "strange", "auto_map": own}))
    (model / "configuration_strange.py").write_text(
        "from transformers import BertConfig\nclass StrangeConfig(BertConfig):\n    model_type = 'strange'\n"
    )
    (model / "modeling_strange.py").write_text(
        "from transformers import BertModel\nfrom .configuration_strange import StrangeConfig\n"
        "class StrangeModel(BertModel):\n    config_class = StrangeConfig\n"
    )
    with pytest.raises(ConfigError, match=r"brings Python code of its own; expected encoder\.trust_remote_code: true"):
        EncoderConfig(model=str(model)).build()
    trusted = EncoderConfig(model=str(model), trust_remote_code=True).build()
    assert largest_difference(trusted.encode(TEXTS), EncoderConfig().build().encode(TEXTS)) < 1e-5


def test_long_texts_are_cut_where_the_setting_says(plain: SentenceEncoder) -> None:
    text = " ".join(f"word{number}" for number in range(5000))
    assert np.isfinite(plain.encode([text])).all()
    short = EncoderConfig(max_seq_length=6).build()  # [CLS] a b c d [SEP]
    assert largest_difference(short.encode(["a b c d e f"]), plain.encode(["a b c d"])) < 1e-5
    with pytest.raises(ConfigError, match=r"max_seq_length: got 513; expected at most the model's 512 positions"):
        EncoderConfig(max_seq_length=513).build()


@pytest.mark.parametrize(("value", "fault"), [(float("nan"), "not finite"), (float("inf"), "not finite"), (0.0, "0")])
def test_a_vector_that_is_no_direction_is_refused_with_its_text(value: float, fault: str) -> None:
    encoder = EncoderConfig().build()

    def spoil(module: Any, inputs: Any, output: dict[str, Any]) -> dict[str, Any]:
        is_stew = (inputs[0]["input_ids"] == encoder.model.tokenizer.convert_tokens_to_ids("stew")).any(dim=1)
        output["sentence_embedding"] = torch.where(is_stew[:, None], value, output["sentence_embedding"])
        return output

    encoder.model[1].register_forward_hook(spoil)
    assert np.isfinite(encoder.encode(["lentil soup"])).all()
    with pytest.raises(DataError, match=f"a vector that is {fault} for 1 of 2 texts, the first 'a hearty winter stew"):
        encoder.encode(TEXTS)
    long = "stew " * 100
    with pytest.raises(DataError, match=r"\(500 characters\)"):
        encoder.encode([long])


@pytest.fixture
def overflowing(tmp_path: Path) -> EncoderConfig:
    """Weights of NaN stand for a model that overflows in half precision."""
    from safetensors.torch import load_file, save_file

    model = write_model(tmp_path / "broken")
    weights = load_file(model / "model.safetensors")
    name = next(name for name in weights if name.endswith("output.LayerNorm.weight"))
    (model / "model.safetensors").unlink()
    save_file(weights | {name: torch.full_like(weights[name], float("nan"))}, model / "model.safetensors")
    return EncoderConfig(model=str(model), dim=16)


def test_an_actor_of_the_embed_stage_names_the_text(overflowing: EncoderConfig) -> None:
    batch = pa.table({"kind": ["items"], "id": ["i0"], "text": ["ripe fruit number 8"]})
    with pytest.raises(DataError, match=r"not finite for 1 of 1 texts, the first 'ripe fruit number 8'"):
        EmbedBatch(overflowing)(batch)


@pytest.mark.slow
def test_the_embed_stage_names_the_text(ray_session: str, overflowing: EncoderConfig, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace")
    workspace.build("catalogue", Settings(), 0, [], write_catalogue)
    with pytest.raises(Exception, match="not finite") as caught:
        run(overflowing, workspace, seed=0)
    fault = find_fault(caught.value)
    assert isinstance(fault, DataError)
    assert "ripe fruit number" in fault.got
    assert not (workspace.root / "encoder").exists()


def test_a_relative_path_is_seen_from_the_folder_of_the_command(
    e5: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(e5.parent)
    config = parse_settings(EncoderConfig, {"model": "e5", "dim": 16}, "here")
    reward = parse_settings(BackTranslationConfig, {"type": "back_translation", "model": "./e5"}, "here")
    assert FolmConfig(base_model="e5").base_model == config.model == reward.model == str(e5.resolve())
    assert FolmConfig().base_model == "package:r4t_ray/folm/base_model"
    assert EncoderConfig(model="owner/name").model == "owner/name"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=f"no such path, seen from {tmp_path}"):
        EncoderConfig(model="./e5").build()
