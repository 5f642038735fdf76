"""Stage 2 by Ray Data: queries -> fan-outs of the frozen model -> targets -> parquet.

Two actor classes, one row of the first in, ``num_samples`` rows of the second out. Where we leave the paper:

1. Every parsed fan-out is kept, for no filter for "successful" ones is given there.
2. Where training queries are few, more are made by recombining them; these have no reference and, on wscr, no reward.
"""

from __future__ import annotations

import json
import logging
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.catalogue import load_queries, recombined_queries
from r4t_ray.config import Settings
from r4t_ray.encoders import load_embeddings
from r4t_ray.errors import EngineError
from r4t_ray.folm import FanOutModel, SharedEngine
from r4t_ray.folm.scorer import SetScorer
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.pairs.targets import target_rows
from r4t_ray.types import Array, Task

log = logging.getLogger(__name__)


class PairsConfig(Settings):
    """How many fan-outs a query, how they are drawn, and how wide a target is (L).

    ``num_recombined`` queries, so many for each task, are made of its training queries and get one fan-out each.
    """

    num_samples: PositiveInt = 128
    num_recombined: dict[Task, NonNegativeInt] = Field(default_factory=dict)
    temperature: PositiveFloat = 0.9
    num_rows: PositiveInt = 12
    queries_per_batch: PositiveInt = 64
    num_actors: PositiveInt = 1
    actor_cpus: PositiveFloat = 0.5
    actor_gpus: float = 0.0


class FanOutBatch:
    """The frozen fan-out models on one engine: a batch of queries in, each query with its sampled fan-outs out."""

    def __init__(self, workspace: str, config: PairsConfig, seed: int) -> None:
        self._artifact = Workspace(workspace).artifact("folm")
        self._folm = FolmConfig.model_validate(self._artifact.manifest.config)
        self._config, self._seed = config, seed
        self._engine = SharedEngine(partial(FanOutModel.load, config=self._folm))
        self._engine.at(self._weights(self._folm.tasks[0]))

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Add ``fan_outs``, a JSON list of lists a query; null for an answer that cannot be parsed."""
        fan_outs: list[str] = [""] * len(batch["text"])
        for task, num_samples in sorted(set(zip(batch["task"], batch["num_samples"].tolist(), strict=True))):
            rows = np.flatnonzero((batch["task"] == task) & (batch["num_samples"] == num_samples)).tolist()
            # Batches hold one task each but where two meet.
            answers = self._engine.at(self._weights(task)).fan_out(
                task,
                [str(batch["text"][row]) for row in rows],
                self._folm.k,
                num_samples=num_samples,
                temperature=self._config.temperature,
                seed=(self._seed + int(batch["position"][rows[0]]) * 1_009) % 2**31,
            )
            for row, answer in zip(rows, answers, strict=True):
                fan_outs[row] = json.dumps(answer, ensure_ascii=False)
        return {**batch, "fan_outs": np.array(fan_outs, dtype=object)}

    def _weights(self, task: Task) -> Path:
        return self._artifact.path / task / "model"


class BuildTargets:
    """Embeds and searches every fan-out of a batch at once and writes a row for each that has a direction."""

    def __init__(self, workspace: str, config: PairsConfig) -> None:
        opened = Workspace(workspace)
        folm = FolmConfig.model_validate(opened.artifact("folm").manifest.config)
        self._scorer = SetScorer.open(opened, folm.k, folm.num_hits, folm.oar)
        self._config = config
        ids, emb_MD = load_embeddings(opened, "queries")
        self._query_emb = dict(zip(ids, emb_MD, strict=True))
        self._references = {query.query_id: query.item_ids for query in load_queries(opened)}

    def __call__(self, batch: dict[str, Any]) -> pa.Table:
        """One output row a fan-out, in the order of queries and samples."""
        samples = [json.loads(fan_outs) for fan_outs in batch["fan_outs"]]
        owners = [(row, sample) for row, answers in enumerate(samples) for sample in range(len(answers))]
        asked = zip(batch["task"], batch["query_id"], strict=True)
        kinds = [(task, task == "oar" or query_id in self._references) for task, query_id in asked]
        tables = []
        for task, is_rewarded in sorted(set(kinds)):
            chosen = [(row, sample) for row, sample in owners if kinds[row] == (task, is_rewarded)]
            fan_outs = [samples[row][sample] for row, sample in chosen]
            tables.append(self._rows(task, batch, chosen, fan_outs, is_rewarded))
        return pa.concat_tables(tables)

    def _query_embeddings(self, ids: list[str], texts: list[str]) -> Array:
        """Unit rows; those of recombined queries are made here, the others are the embed stage's."""
        new = {name: text for name, text in zip(ids, texts, strict=True) if name not in self._query_emb}
        made = dict(zip(new, self._scorer.encoder.encode(list(new.values())), strict=True)) if new else {}
        return np.stack([made[name] if name in made else self._query_emb[name] for name in ids])

    def _rows(
        self, task: Task, batch: dict[str, Any], owners: list[tuple[int, int]], fan_outs: list[Any], is_rewarded: bool
    ) -> pa.Table:
        ids = [str(batch["query_id"][row]) for row, _ in owners]
        query_emb_BD = self._query_embeddings(ids, [str(batch["text"][row]) for row, _ in owners])
        scored = self._scorer.retrieve(task, query_emb_BD, fan_outs)
        rewards: list[float | None] = [None] * len(ids)
        if is_rewarded:
            references = [self._references.get(name, ()) for name in ids]
            rewards = self._scorer.reward(task, scored, references)["reward"].tolist()
        index = self._scorer.indexes[task]
        rows = []
        for b, ((row, sample), fan_out) in enumerate(zip(owners, fan_outs, strict=True)):
            target_LD = target_rows(task, scored, b, index.emb_MD, self._config.num_rows)
            if target_LD is not None:
                nearest = scored.hit_rows_BkK[b, : len(fan_out), 0]
                rows.append(
                    {
                        "query_id": ids[b],
                        "task": task,
                        "split": str(batch["split"][row]),
                        "sample": sample,
                        "z_q": query_emb_BD[b],
                        "Z": target_LD.astype(np.float16).ravel(),
                        "reward": rewards[b],
                        "item_ids": [index.ids[hit] for hit in nearest],
                        "sub_queries": list(fan_out),
                    }
                )
        return pairs_table(rows, query_emb_BD.shape[1], self._config.num_rows)


def pairs_table(rows: list[dict[str, Any]], dim: int, num_rows: int) -> pa.Table:
    """Pairs as Arrow: ``z_q`` of width d in float32, ``Z`` of width L*d, row by row, in float16.

    ``task`` names the folder that a row goes to, and is in no file. ``reward`` is null on wscr where a query has no
    reference.
    """
    schema = pa.schema(
        [
            ("query_id", pa.string()),
            ("task", pa.string()),
            ("split", pa.string()),
            ("sample", pa.int32()),
            ("z_q", pa.list_(pa.float32(), dim)),
            ("Z", pa.list_(pa.float16(), num_rows * dim)),
            ("reward", pa.float32()),
            ("item_ids", pa.list_(pa.string())),
            ("sub_queries", pa.list_(pa.string())),
        ]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def run(config: PairsConfig, workspace: Workspace, seed: int) -> Artifact:
    """Write ``pairs/<task>/*.parquet`` for the train and val queries of every task the fan-out model was trained on.

    Raises:
        EngineError: Not one fan-out of a task could be parsed.
    """

    def make(folder: Path) -> int:
        folm = FolmConfig.model_validate(workspace.artifact("folm").manifest.config)
        rows = [row for task in folm.tasks for row in query_rows(task, config, workspace, seed)]
        synthesize(rows, config, folm.engine.threads, workspace, folder, seed)
        return sum(check_written(folder / task) for task in folm.tasks)

    return workspace.build("pairs", config, seed, ("ingest", "embed", "index", "folm"), make)


def query_rows(task: Task, config: PairsConfig, workspace: Workspace, seed: int) -> list[dict[str, Any]]:
    """What the graph reads: a row for each query of a task, and how many fan-outs it gets."""
    queries = [query for query in load_queries(workspace, task) if query.split != "test"]
    train, num_recombined = [query for query in queries if query.split == "train"], config.num_recombined.get(task, 0)
    # Other queries than those that stage 1 trained on, which are recombined with seed and seed + 1.
    new = recombined_queries(task, train, num_recombined, seed + 2)
    num_fan_outs = config.num_samples * len(queries) + len(new)
    log.info("%s: %d fan-outs of %d queries and %d recombined ones", task, num_fan_outs, len(queries), len(new))
    return [
        {"query_id": query.query_id, "task": task, "text": query.text, "split": query.split, "num_samples": num}
        for query, num in [(query, config.num_samples) for query in queries] + [(query, 1) for query in new]
    ]


def synthesize(
    rows: list[dict[str, Any]], config: PairsConfig, threads: int, workspace: Workspace, folder: Path, seed: int
) -> None:
    """Run queries through the graph and write their pairs below ``folder``, a folder a task.

    ``threads`` are those of the engine, 0 where they are left to it.
    """
    ray.data.DataContext.get_current().enable_progress_bars = sys.stderr.isatty()
    # The engine starts in one thread of its actor and works in another: both have to have its number of threads.
    environment = {"env_vars": {"OMP_NUM_THREADS": str(threads)}} if threads else None
    placed = [{**row, "position": place} for place, row in enumerate(rows)]
    fan_outs = ray.data.from_items(placed, override_num_blocks=-(-len(rows) // config.queries_per_batch)).map_batches(
        FanOutBatch,
        fn_constructor_args=(str(workspace.root), config, seed),
        batch_size=config.queries_per_batch,
        concurrency=config.num_actors,
        num_cpus=config.actor_cpus,
        num_gpus=config.actor_gpus,
        runtime_env=environment,
    )
    targets = fan_outs.map_batches(
        BuildTargets,
        fn_constructor_args=(str(workspace.root), config),
        batch_size=config.queries_per_batch,
        concurrency=1,
        num_cpus=config.actor_cpus,
    )
    # No flavor: folders are named by the task alone, oar/ and not task=oar/.
    targets.write_parquet(str(folder), partition_cols=["task"], partitioning_flavor=None)


def check_written(folder: Path) -> int:
    """Rows of one task's parquet files; raises EngineError when there are none."""
    count = sum(pq.read_metadata(file).num_rows for file in sorted(folder.glob("*.parquet")))
    if not count:
        raise EngineError(
            f"pairs/{folder.name}",
            "no fan-out that could be parsed",
            "<queries>[...]</queries> in the answers",
            "train the model longer",
        )
    log.info("%s: %d pairs", folder.name, count)
    return count
