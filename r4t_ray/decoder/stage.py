"""The train-decoder stage: the item decoder of weakly supervised compositional retrieval (WSCR), and its index."""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from r4t_ray.artifacts import Artifact, Workspace, read_manifest
from r4t_ray.catalogue import load_queries
from r4t_ray.config import recorded_settings
from r4t_ray.decoder.choice import Choice, choose
from r4t_ray.decoder.examples import Examples, examples_of
from r4t_ray.decoder.files import INDEX, NUMBERS, save_decoder
from r4t_ray.decoder.scores import Decoder
from r4t_ray.decoder.settings import DecoderConfig
from r4t_ray.decoder.training import Trained, train_weights
from r4t_ray.diffusion import DiffusionRetriever
from r4t_ray.embedding_table import read_embedding_table
from r4t_ray.files import whole_file
from r4t_ray.index import IndexConfig, write_index
from r4t_ray.stages import parents_of
from r4t_ray.types import Array, Split

MOST_EXHAUSTIVE = 100_000
"""Items up to which the index over the item vectors is exhaustive, so that an answer holds exactly the largest scores.
Above it the index has the type that ``index.type`` names. With hnsw, FAISS finds candidates in its graph, and their
scores are then computed exactly."""
MAX_VAL_QUERIES, MAX_VAL_SCORES = 1000, 2**27
"""Most validation queries that are used, and most of their scores. Every item has a score for each query. 2^27 scores
take 0.5 GiB, and a few such arrays are in memory."""

_logger = logging.getLogger(__name__)


def run(config: DecoderConfig, workspace: Workspace, seed: int) -> Artifact:
    """Train the decoder of the items, if there is a WSCR retriever.

    Reads ``catalogue/``, ``encoder/``, ``index/`` (its settings) and ``diffusion/wscr``. Writes into ``decoder/wscr/``:
    ``decoder.safetensors`` (A, rho_i u_i, rho_i b_i and beta), ``losses.parquet`` (step, val_loss), and ``index/``.
    A stopped run starts over.

    Returns:
        The artifact. Its rows are the items of the pool; 0 without a WSCR retriever.

    Raises:
        MissingArtifactError: A stage before it has not run.
    """
    return workspace.build("decoder", config, seed, parents_of("decoder"), partial(_make, config, workspace, seed))


def _make(config: DecoderConfig, workspace: Workspace, seed: int, folder: Path) -> int:
    retriever_folder = workspace.root / "diffusion" / "wscr"
    if not retriever_folder.is_dir():
        _logger.warning("train-decoder: there is no WSCR retriever, so there is nothing to decode")
        return 0
    ids, emb_MD = read_embedding_table(workspace.root / "encoder" / "items.parquet")
    train, val = (load_examples(workspace, split, ids) for split in ("train", "val"))
    val = val.part(np.arange(num_val_queries(len(val.z_q_SD), len(ids))))
    trained = train_weights(train, val, emb_MD, config, seed)
    without_rows = Decoder(
        shared_DD=trained.shared_DD,
        own_MD=trained.own_MD * train.seen_M[:, None],
        bias_M=trained.bias_M * train.seen_M,
        beta=0.0,
    )
    choice = choose_decoder(without_rows, emb_MD, (train, val), draw_rows(retriever_folder, val.z_q_SD, seed), config)
    decoder = replace(
        without_rows,
        bias_M=(without_rows.bias_M + np.float32(choice.seen_bias) * train.seen_M).astype(np.float32),
        beta=choice.beta,
    )
    save_decoder(decoder, folder / NUMBERS)
    write_losses(trained, folder / "wscr" / "losses.parquet")
    write_index(index_settings(workspace, len(ids)), decoder.item_vectors(emb_MD), folder / INDEX)
    return len(ids)


def num_val_queries(num_queries: int, num_items: int) -> int:
    """The validation queries that are used, of ``num_queries``."""
    return min(num_queries, MAX_VAL_QUERIES, max(1, MAX_VAL_SCORES // max(1, num_items)))


def load_examples(workspace: Workspace, split: Split, pool_ids: list[str]) -> Examples:
    """The WSCR queries of a split with the pool rows of their reference sets."""
    row_of = {item_id: row for row, item_id in enumerate(pool_ids)}
    queries = load_queries(workspace, "wscr", split)
    ids, emb_BD = read_embedding_table(workspace.root / "encoder" / "queries.parquet")
    emb_row_of = {query_id: row for row, query_id in enumerate(ids)}
    references = [[row_of[item_id] for item_id in query.item_ids if item_id in row_of] for query in queries]
    rows = np.array([emb_row_of[query.query_id] for query in queries], dtype=np.int64)
    return examples_of(emb_BD[rows], [np.array(each, dtype=np.int64) for each in references], len(pool_ids))


def draw_rows(retriever_folder: Path, z_q_BD: Array, seed: int) -> Array:
    """The directions that the finished retriever generates for each query, shape (B, L, D)."""
    retriever = DiffusionRetriever.from_pretrained(retriever_folder).eval()
    generator = torch.Generator().manual_seed(seed)
    z_BLD = retriever.generate(torch.from_numpy(np.ascontiguousarray(z_q_BD)), generator=generator)
    return np.asarray(z_BLD.numpy(), dtype=np.float32)


def choose_decoder(
    decoder: Decoder, emb_MD: Array, data: tuple[Examples, Examples], z_BLD: Array, config: DecoderConfig
) -> Choice:
    """Choose beta and the bias of the seen items on validation queries with their directions ``z_BLD``.

    Without a validation query both are 0: the directions then do not change the scores.
    """
    train, val = data
    if not len(val.z_q_SD):
        _logger.warning("train-decoder: no validation queries, so beta and the bias of seen items are 0")
        nan = float("nan")
        return Choice(beta=0.0, seen_bias=0.0, recall=nan, recall_seen=nan, recall_unseen=nan)
    scores_BM = (val.z_q_SD @ decoder.shared_DD.T) @ emb_MD.T + val.z_q_SD @ decoder.own_MD.T + decoder.bias_M
    nearest_BM = np.stack([(z_LD @ emb_MD.T).max(axis=0) for z_LD in z_BLD])
    return choose(scores_BM, nearest_BM, val, train.seen_M, config.budget)


def index_settings(workspace: Workspace, num_items: int) -> IndexConfig:
    """The settings of the stage build-index, with an exhaustive index for up to MOST_EXHAUSTIVE items."""
    settings = recorded_settings(IndexConfig, read_manifest(workspace.root / "index").config)
    return settings.model_copy(update={"type": "flat"}) if num_items <= MOST_EXHAUSTIVE else settings


def write_losses(trained: Trained, path: Path) -> None:
    """Write the validation losses as parquet: step, val_loss."""
    steps, losses = ([each[column] for each in trained.losses] for column in (0, 1))
    table = pa.table({"step": pa.array(steps, pa.int64()), "val_loss": pa.array(losses, pa.float64())})
    with whole_file(path) as written:
        pq.write_table(table, written)
