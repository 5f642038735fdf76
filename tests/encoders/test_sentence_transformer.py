"""The MiniLM of the demo package: correct vectors in the correct order, without network access."""

from __future__ import annotations

import socket

import numpy as np
import pytest

from r4t_ray.encoders.encoder import CachedEncoder, Encoder
from r4t_ray.encoders.sentence_transformer import EncoderConfig, SentenceEncoder
from r4t_ray.errors import ConfigError
from r4t_ray.types import Array

TEXTS = [
    "salt",
    "a hearty winter stew of beef, barley, carrots and a good deal of pepper",
    "lentil soup",
    "soup with lentils",
    "blue denim jacket",
]


@pytest.fixture(scope="module")
def model() -> SentenceEncoder:
    return EncoderConfig(batch_size=2).build()


def test_rows_are_unit_and_in_the_order_of_the_texts(model: SentenceEncoder) -> None:
    emb = model.encode(TEXTS)
    alone = np.concatenate([model.encode([text]) for text in TEXTS])
    assert emb.shape == (5, model.native_dim)
    assert np.abs(emb - alone).max() < 1e-5
    assert np.abs(np.linalg.norm(emb, axis=1) - 1).max() < 1e-5
    assert emb[2] @ emb[3] > 0.8 > 0.4 > emb[2] @ emb[4]
    assert model.encode([]).shape == (0, model.native_dim)


def test_a_local_model_loads_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert EncoderConfig().build().native_dim == 384


def test_a_folder_without_a_model_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.model"):
        EncoderConfig(model=str(tmp_path_factory.mktemp("empty"))).build()


def test_projection_and_cache(model: SentenceEncoder) -> None:
    class Counting(Encoder):
        seen: list[str] = []  # noqa: RUF012 - one instance in this test

        def encode(self, texts: object, kinds: object = "query") -> Array:
            self.seen.extend(texts)  # type: ignore[arg-type]
            return super().encode(texts, kinds)  # type: ignore[arg-type]

    rotation = np.linalg.qr(np.random.default_rng(0).normal(size=(384, 384)))[0].astype(np.float32)
    encoder = Counting(model, rotation[:, :8].copy())
    cached = CachedEncoder(encoder)
    first = cached.encode(["salt", "pepper", "salt"], "query")
    again = cached.encode(["pepper", "sugar"])
    assert encoder.seen == ["salt", "pepper", "sugar"]
    assert (cached.hits, cached.misses, cached.dim) == (2, 3, 8)
    assert np.array_equal(first[0], first[2])
    assert np.array_equal(first[1], again[0])
    cached.encode(["pepper", "salt"], ["document", "query"])  # a document is another text than a query
    assert encoder.seen[3:] == ["pepper"]
    small = CachedEncoder(encoder, max_texts=2)
    for texts in (["salt", "pepper", "sugar"], ["salt"], ["sugar"]):
        small.encode(texts)
    assert (small.hits, small.misses) == (1, 4)  # the first text has left the cache
    raw = model.encode(["sugar"]) @ rotation[:, :8]
    assert np.abs(again[1] - raw[0] / np.linalg.norm(raw)).max() < 1e-5
