"""The decoder on disk: its numbers as safetensors, and the index over its item vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from r4t_ray.artifacts import Workspace
from r4t_ray.decoder.scores import Decoder, QueryDecoder
from r4t_ray.errors import ArtifactError
from r4t_ray.files import whole_file
from r4t_ray.index import Shard, load_shards
from r4t_ray.types import Array

NUMBERS = "wscr/decoder.safetensors"
INDEX = "wscr/index"
"""Folder of the index over [e_i; rho_i u_i; rho_i b_i], below ``decoder/``."""
RETRAIN = "run `r4t train-decoder CONFIG --workspace DIR`"


def save_decoder(decoder: Decoder, path: Path) -> None:
    """Write the numbers of a decoder to one file."""
    tensors = {"shared": decoder.shared_DD, "own": decoder.own_MD, "bias": decoder.bias_M}
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as written:
        save_file(tensors | {"beta": np.array([decoder.beta], np.float32)}, written)


def load_query_decoder(workspace: Workspace) -> QueryDecoder:
    """The numbers that make the vectors of a query. The numbers of the items are in the index.

    Raises:
        MissingArtifactError: The stage train-decoder has not run.
        ArtifactError: A file was changed, or the decoder was trained on other inputs.
    """
    path = workspace.artifact("decoder").file(NUMBERS)
    try:
        with safe_open(path, framework="np") as numbers:
            return QueryDecoder(shared_DD=numbers.get_tensor("shared"), beta=float(numbers.get_tensor("beta")[0]))
    except SafetensorError as error:
        raise ArtifactError(str(path), f"no decoder ({error})", "shared, own, bias and beta", RETRAIN) from error


class OwnNumbers:
    """rho_i u_i and rho_i b_i of items, read from the disk when they are asked for.

    The file stays open, so a decoder that takes its place changes nothing here.

    Args:
        workspace: A workspace whose decoder was verified.
    """

    def __init__(self, workspace: Workspace) -> None:
        numbers = safe_open(workspace.root / "decoder" / NUMBERS, framework="np")
        self._own, self._bias = numbers.get_slice("own"), numbers.get_slice("bias")
        self.num = int(self._bias.get_shape()[0])

    def of(self, row: int) -> Array:
        """[rho_i u_i; rho_i b_i] of one row of the index, shape (D+1,)."""
        return np.concatenate([self._own[row : row + 1][0], self._bias[row : row + 1]])


@dataclass(frozen=True, kw_only=True)
class PoolDecoder:
    """A decoder with the shards of the index over its item vectors."""

    decoder: QueryDecoder
    shards: tuple[Shard, ...]


def load_pool_decoder(workspace: Workspace) -> PoolDecoder:
    """The decoder of a workspace with its index; raises what ``load_query_decoder`` raises."""
    return PoolDecoder(decoder=load_query_decoder(workspace), shards=load_shards(index_folder(workspace)))


def index_folder(workspace: Workspace) -> Path:
    """The folder of the index over the item vectors."""
    return workspace.root / "decoder" / INDEX
