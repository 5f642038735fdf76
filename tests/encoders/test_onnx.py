"""A model in ONNX Runtime: the vectors of the model in torch, checked files, and torch where it fails."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
from transformers import AutoTokenizer, BertConfig, BertModel

from r4t_ray import onnx_export as exporters
from r4t_ray.encoders import EncoderConfig, load_encoder, load_serving_encoder, onnx_export, resolve_model
from r4t_ray.encoders.encoder import save_encoder
from r4t_ray.encoders.onnx_export import SAMPLES, export_encoder
from r4t_ray.encoders.onnx_model import MODEL_FILE, TOKENIZER_FILE, OnnxModel
from r4t_ray.encoders.sentence_transformer import SentenceEncoder
from r4t_ray.errors import ArtifactError
from r4t_ray.types import TextKind

WIDTH = 16
TEXTS = ["lentil soup", "Café à la CRÈME", "a hearty winter stew of beef, barley and pepper", *SAMPLES]
KINDS: list[TextKind] = ["query", "document", "query", "document", "query", "document", "query"]
PROMPTS = {"query_prompt": "query: ", "document_prompt": "passage: "}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> EncoderConfig:
    """A BERT of one layer, with the tokenizer of MiniLM and two prompts."""
    folder = tmp_path_factory.mktemp("tiny")
    shape = {"hidden_size": WIDTH, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(**shape)).save_pretrained(folder / "bert")
    AutoTokenizer.from_pretrained(resolve_model(EncoderConfig().model)).save_pretrained(folder / "bert")
    modules = [Transformer(str(folder / "bert"), max_seq_length=64), Pooling(WIDTH)]
    SentenceTransformer(modules=modules, device="cpu").save(str(folder / "model"), create_model_card=False)
    return EncoderConfig(model=str(folder / "model"), dim=WIDTH, **PROMPTS)


@pytest.fixture(scope="module")
def model(config: EncoderConfig) -> SentenceEncoder:
    return config.build()


@pytest.fixture(scope="module")
def exported(config: EncoderConfig, model: SentenceEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the embed stage writes."""
    folder = tmp_path_factory.mktemp("stage") / "model"
    folder.mkdir()
    assert export_encoder(model, folder, TEXTS, to_int8=False) is None
    save_encoder(folder, config, np.eye(WIDTH, dtype=np.float32), model.prompts)
    return folder


def copied(folder: Path, to: Path) -> Path:
    to.mkdir()
    for file in folder.iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_both_runtimes_give_the_same_vectors(exported: Path, model: SentenceEncoder) -> None:
    served = load_serving_encoder(exported, threads=1)
    assert isinstance(served._model, OnnxModel)
    assert np.abs(served.encode(TEXTS, KINDS) - model.encode(TEXTS, KINDS)).max() < 1e-5
    alone = np.concatenate([served.encode([text], kind) for text, kind in zip(TEXTS, KINDS, strict=True)])
    assert np.abs(served.encode(TEXTS, KINDS) - alone).max() < 1e-5
    # The prompts are told apart, and a long text is cut where the model cuts it.
    assert np.abs(served.encode(TEXTS, "query") - served.encode(TEXTS, "document")).max() > 1e-3
    assert len(served._model._tokenizer.encode(SAMPLES[-1]).ids) == 64
    assert served.encode([]).shape == (0, WIDTH)


@pytest.mark.parametrize("name", [MODEL_FILE, TOKENIZER_FILE])
def test_a_changed_file_is_refused(exported: Path, tmp_path: Path, name: str) -> None:
    folder = copied(exported, tmp_path / "model")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(bytes(content))
    with pytest.raises(ArtifactError, match=name):
        load_serving_encoder(folder, threads=1)


def test_torch_serves_without_the_runtime_or_the_export(
    exported: Path,
    tmp_path: Path,
    config: EncoderConfig,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    save_encoder(tmp_path / "model", config, np.eye(WIDTH, dtype=np.float32))
    assert isinstance(load_serving_encoder(tmp_path / "model", threads=1)._model, SentenceEncoder)
    monkeypatch.setattr(exporters, "find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        assert isinstance(load_serving_encoder(exported, threads=1)._model, SentenceEncoder)
    assert "onnxruntime is not installed" in caplog.text
    assert isinstance(load_encoder(exported)._model, SentenceEncoder)


def test_8_bit_weights_are_smaller_and_nearly_the_same(
    exported: Path, model: SentenceEncoder, tmp_path: Path, config: EncoderConfig
) -> None:
    folder = copied(exported, tmp_path / "model")
    onnx_export._to_int8(folder)
    save_encoder(folder, config, np.eye(WIDTH, dtype=np.float32), model.prompts)
    assert (folder / MODEL_FILE).stat().st_size < 0.5 * (exported / MODEL_FILE).stat().st_size
    cosines = (load_serving_encoder(folder, threads=1).encode(TEXTS) * model.encode(TEXTS)).sum(axis=1)
    assert 0.9 < cosines.min() < 1 - 1e-6
    assert sorted(file.name for file in folder.iterdir()) == sorted(file.name for file in exported.iterdir())


def test_an_export_with_other_vectors_is_thrown_away(
    exported: Path, model: SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(exported, tmp_path / "model")
    monkeypatch.setattr(onnx_export, "_export", lambda encoder, folder: None)
    monkeypatch.setattr(model, "prompts", {"query": "other: ", "document": ""})
    assert export_encoder(model, folder, TEXTS, to_int8=False) is None
    monkeypatch.setattr(OnnxModel, "encode", lambda self, texts, kinds: model.encode(texts, kinds) + 2e-4)
    assert "differ by 0.0002" in str(export_encoder(model, folder, TEXTS, to_int8=False))
    assert not (folder / MODEL_FILE).exists()
    assert not (folder / TOKENIZER_FILE).exists()


def test_the_reason_names_what_cannot_be_exported(
    model: SentenceEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise NotImplementedError("an operator\nand more")

    monkeypatch.setattr(onnx_export, "write_onnx", refuse)
    reason = export_encoder(model, tmp_path, TEXTS, to_int8=False)
    assert reason == "torch.onnx cannot export it (NotImplementedError: an operator)"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(exporters, "EXPORTERS", ("onnx", "no_such_exporter"))
    assert export_encoder(model, tmp_path, TEXTS, to_int8=False) == "the packages no_such_exporter are not installed"
