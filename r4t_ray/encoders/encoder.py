"""The encoder that the embed stage writes: a model and a projection that was fitted on one catalogue.

The projection is a principal component analysis without centring: the top-d eigenvectors of the second moment X^T X.
They give the rank-d matrix nearest to the Gram matrix X X^T (Eckart and Young, 1936). For unit rows the Gram matrix
holds the cosines, so this projection keeps cosines best. Subtracting the mean would change the cosines and their order.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from r4t_ray.artifacts.manifest import MANIFEST, read_manifest
from r4t_ray.encoders.each_text import kind_of_each
from r4t_ray.encoders.endpoint import EndpointConfig
from r4t_ray.encoders.kinds import encoder_config
from r4t_ray.encoders.models import model_fingerprint, resolve_model
from r4t_ray.encoders.onnx_model import MODEL_FILE, TOKENIZER_FILE, OnnxModel
from r4t_ray.encoders.same_space import require_same_space, require_width, spread_rows
from r4t_ray.encoders.sentence_transformer import EncoderConfig
from r4t_ray.encoders.settings import TextModel
from r4t_ray.errors import ArtifactError, ConfigError
from r4t_ray.files import sha256_file, write_json
from r4t_ray.onnx_export import RUNTIME, has_runtime
from r4t_ray.types import Array, TextKind

CONFIG_FILE = "config.json"
PROJECTION_FILE = "pca.safetensors"

_logger = logging.getLogger(__name__)


def second_moment(emb_MD: Array) -> NDArray[np.float64]:
    """X^T X in float64, shape (D, D). The moment of all rows is the sum of the moments of its parts."""
    rows_MD = emb_MD.astype(np.float64)
    return np.asarray(rows_MD.T @ rows_MD)


def fit_projection(moment_DD: NDArray[np.float64], dim: int) -> Array:
    """The top ``dim`` eigenvectors of the second moment, as orthonormal columns.

    Args:
        moment_DD: ``second_moment`` of all rows.
        dim: Number of columns, at most D.

    Returns:
        float32, shape (D, dim), largest eigenvalue first. The entry of each column with the largest absolute value is
        positive, which fixes the sign.

    Raises:
        ConfigError: ``dim`` is larger than D.
    """
    native_dim = moment_DD.shape[0]
    if dim > native_dim:
        raise ConfigError("encoder.dim", str(dim), f"at most the model's width {native_dim}", "lower encoder.dim")
    _, vectors_DD = np.linalg.eigh(moment_DD)
    top_Dd = vectors_DD[:, ::-1][:, :dim]
    strongest = np.abs(top_Dd).argmax(axis=0)
    signs = np.sign(top_Dd[strongest, np.arange(dim)])
    return np.ascontiguousarray(top_Dd * signs, dtype=np.float32)


def project(emb_MD: Array, projection_Dd: Array) -> Array:
    """Project rows and scale them to unit length, shape (M, dim). A row that projects to zero stays zero."""
    out_Md = emb_MD @ projection_Dd
    norms_M1 = np.linalg.norm(out_Md, axis=1, keepdims=True)
    return np.asarray(out_Md / np.maximum(norms_M1, np.finfo(np.float32).tiny), dtype=np.float32)


MAX_DESCRIPTION_WORDS = 30


def set_text(title: str, description: str) -> str:
    """The text of a set: its title, followed by the first MAX_DESCRIPTION_WORDS words of its description, if any.

    >>> set_text("Lentil soup", "Soup recipes")
    'Lentil soup. Soup recipes'
    >>> set_text("Lentil soup", "")
    'Lentil soup'
    """
    words = description.split()[:MAX_DESCRIPTION_WORDS]
    return f"{title}. {' '.join(words)}" if words else title


class Encoder:
    """Embeds texts as unit vectors in the space of one catalogue.

    Args:
        model: The text encoder.
        projection_Dd: The projection that was fitted on the catalogue.
        checks_vectors: Whether given vectors are compared with the model's.
    """

    def __init__(self, model: TextModel, projection_Dd: Array, *, checks_vectors: bool = True) -> None:
        self._model = model
        self._projection_Dd = projection_Dd
        self._checks_vectors = checks_vectors
        self.native_dim, self.dim = map(int, projection_Dd.shape)

    def encode(self, texts: Sequence[str], kinds: TextKind | Sequence[TextKind] = "query") -> Array:
        """Unit rows in the order of ``texts``, shape (N, dim). ``kinds`` is the kind of all texts, or of each.

        Raises:
            ConfigError: The model's vectors have another width than when the catalogue was embedded.
            R4TError: The model cannot embed a text.
        """
        if not texts:
            return np.empty((0, self.dim), np.float32)
        emb_ND = self._model.encode(texts, kinds)
        if emb_ND.shape[1] != self.native_dim:
            raise ConfigError(
                self._model.name,
                f"vectors of width {emb_ND.shape[1]}",
                f"width {self.native_dim}, as when `r4t embed` ran",
                "serve the same model, or run `r4t embed` and the stages after it again",
            )
        return project(emb_ND, self._projection_Dd)

    def project_given(self, given_MD: Array, texts: Sequence[str], where: str) -> Array:
        """Given unit vectors of entries in the space of the catalogue, shape (M, dim).

        Args:
            given_MD: The vectors, of the model's width.
            texts: The texts of the entries, by which the space is checked.
            where: The vectors, for messages.

        Raises:
            DataError: See ``require_same_space``.
        """
        require_width(self._model, self.native_dim, given_MD.shape[1], where)
        if self._checks_vectors:
            rows = spread_rows(len(texts))
            require_same_space(self._model, [texts[row] for row in rows], given_MD[rows], where)
        return project(given_MD, self._projection_Dd)


MAX_TEXTS = 100_000
"""Maximum number of embeddings in a cache: about 80 MB at 128 floats each."""


class CachedEncoder:
    """An encoder with a cache of its last ``max_texts`` embeddings. ``hits`` and ``misses`` count texts."""

    def __init__(self, encoder: Encoder, max_texts: int = MAX_TEXTS) -> None:
        self._encoder, self._max_texts = encoder, max_texts
        self._known: dict[tuple[TextKind, str], Array] = {}
        self.dim = encoder.dim
        self.hits = 0
        self.misses = 0

    def encode(self, texts: Sequence[str], kinds: TextKind | Sequence[TextKind] = "query") -> Array:
        """As ``Encoder.encode``. Each distinct text that is not in the cache is embedded once."""
        given = kind_of_each(texts, kinds)
        keys = list(zip(given, texts, strict=True))
        new = [key for key in dict.fromkeys(keys) if key not in self._known]
        if new:
            rows = self._encoder.encode([text for _, text in new], [kind for kind, _ in new])
            self._known.update(zip(new, rows, strict=True))
        self.misses += len(new)
        self.hits += len(texts) - len(new)
        out_ND = np.empty((len(texts), self.dim), np.float32)
        for row, key in enumerate(keys):
            out_ND[row] = self._known[key]
        for key in list(islice(self._known, max(0, len(self._known) - self._max_texts))):
            del self._known[key]
        return out_ND

    def project_given(self, given_MD: Array, texts: Sequence[str], where: str) -> Array:
        """As ``Encoder.project_given``."""
        return self._encoder.project_given(given_MD, texts, where)


def save_encoder(
    folder: Path,
    config: EncoderConfig | EndpointConfig,
    projection_Dd: Array,
    prompts: Mapping[TextKind, str] | None = None,
) -> None:
    """Write ``config.json`` (model, widths, sha256 of model and projection) and ``pca.safetensors``.

    Args:
        folder: Is created, unless it holds the model in ONNX.
        config: The settings of the encoder.
        projection_Dd: The projection.
        prompts: The prompts of the model in ONNX, if ``folder`` holds one. Its sha256 is written too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"projection": projection_Dd}, folder / PROJECTION_FILE)
    native_dim, dim = projection_Dd.shape
    files = {name: sha256_file(folder / name) for name in (MODEL_FILE, TOKENIZER_FILE)} if prompts is not None else {}
    write_json(
        folder / CONFIG_FILE,
        {
            "encoder": config.model_dump(mode="json"),
            "native_dim": native_dim,
            "dim": dim,
            "model_sha256": config.fingerprint(),
            "projection_sha256": sha256_file(folder / PROJECTION_FILE),
            "onnx": {"prompts": dict(prompts), "sha256": files} if prompts is not None else None,
        },
    )


def load_encoder(path: Path) -> Encoder:
    """Load an encoder that ``save_encoder`` wrote, with its model in torch or behind its endpoint.

    Raises:
        ArtifactError: A file is unreadable, the projection was changed, or another model made the embeddings.
        ConfigError: The model is not installed on this machine.
    """
    return _with_own_model(*_read(path))


def load_serving_encoder(path: Path, threads: int) -> Encoder:
    """As ``load_encoder``, with the model in ONNX Runtime on the CPU if the embed stage could export it.

    Args:
        path: The folder that ``save_encoder`` wrote.
        threads: Threads of ONNX Runtime.

    Raises:
        ArtifactError: A file is unreadable or was changed, or another model made the embeddings.
        ConfigError: The model is needed in torch and not installed on this machine.
    """
    stored, config, projection_Dd = _read(path)
    onnx = stored.get("onnx")
    if onnx is None:
        return _with_own_model(stored, config, projection_Dd)
    if not has_runtime():
        _logger.warning("the package %s is not installed, so the encoder runs in torch, which is slower", RUNTIME)
        return _with_own_model(stored, config, projection_Dd)
    for name, expected in onnx["sha256"].items():
        _require_same(path / name, sha256_file(path / name), expected)
    model = OnnxModel(path, f"encoder.model '{config.model}'", onnx["prompts"], threads)
    return Encoder(model, projection_Dd, checks_vectors=config.check_vectors)


def _with_own_model(stored: Mapping[str, Any], config: EncoderConfig | EndpointConfig, projection_Dd: Array) -> Encoder:
    """The encoder with the model that the settings build, after a check that it is the recorded one."""
    if stored["model_sha256"] is not None:
        resolved = resolve_model(config.model)
        _require_same(Path(resolved), model_fingerprint(resolved), stored["model_sha256"])
    return Encoder(config.build(), projection_Dd, checks_vectors=config.check_vectors)


def _read(path: Path) -> tuple[dict[str, Any], EncoderConfig | EndpointConfig, Array]:
    """config.json, the settings in it, and the projection."""
    try:
        stored = json.loads((path / CONFIG_FILE).read_text(encoding="utf-8"))
        config = encoder_config(stored["encoder"] | _recorded(path.parent, stored["encoder"]))
        expected_projection, _ = stored["projection_sha256"], stored["model_sha256"]
    except (OSError, ValueError, KeyError) as error:
        raise ArtifactError(
            str(path / CONFIG_FILE), f"unreadable ({error})", "an encoder that `r4t embed` wrote", "run `r4t embed`"
        ) from error
    _require_same(path / PROJECTION_FILE, sha256_file(path / PROJECTION_FILE), expected_projection)
    try:
        return stored, config, load_file(path / PROJECTION_FILE)["projection"]
    except (SafetensorError, KeyError) as error:
        raise ArtifactError(
            str(path / PROJECTION_FILE), f"no projection ({error})", "safetensors with a projection", "run `r4t embed`"
        ) from error


def _recorded(stage: Path, stored: Mapping[str, Any]) -> dict[str, Any]:
    """The settings as the stage's manifest has them, which may have changed since: the ones that change no result."""
    if not (stage / MANIFEST).is_file():
        return {}
    recorded = read_manifest(stage).config
    return {name: recorded[name] for name in stored if name in recorded}


def _require_same(path: Path, got: str | None, expected: str) -> None:
    if got != expected:
        raise ArtifactError(
            str(path),
            f"another encoder (sha256 {str(got)[:12]})",
            f"the one that made the embeddings (sha256 {expected[:12]})",
            "install the model of the encoder's config.json, or run `r4t embed` and the stages after it again",
        )
