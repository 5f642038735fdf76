"""Stage 2 by Ray Data: queries -> fan-outs of the frozen model -> targets -> parquet.

Two actor classes; a row between them is the queries of one file. Where we leave the paper:

1. Which fan-outs count as successful is a setting; all that can be parsed do by default, for no rule is given there.
2. Equal fan-outs of a query are one pair with a weight.
3. Where training queries are few, more are made by recombining them; these have no reference set.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ray

from r4t_ray.artifacts import Artifact, Workspace
from r4t_ray.catalogue import Query, load_queries, recombined_queries
from r4t_ray.encoders import load_encoder
from r4t_ray.errors import ArtifactError
from r4t_ray.folm import FanOutModel, SharedEngine
from r4t_ray.folm.rollout.task_rewards import TaskRewards
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.pairs.actors import in_main_thread
from r4t_ray.pairs.files import (
    Asked,
    Pairs,
    check_written,
    missing_files,
    pairs_table,
    plan_files,
    query_seed,
    write_file,
)
from r4t_ray.pairs.keep import KeepRule, count_equal
from r4t_ray.pairs.labels import write_labels
from r4t_ray.pairs.recompose import recomposed_queries
from r4t_ray.pairs.settings import PairsConfig
from r4t_ray.pairs.targets import target_rows
from r4t_ray.progress import track
from r4t_ray.stages import parents_of
from r4t_ray.types import Array, Task

log = logging.getLogger(__name__)

WRITER_CPUS = 0.5
MOST_BLOCKS = 10_000
"""Blocks of Ray Data, at most; each is of several files where there are more of them."""


class FanOuts:
    """The frozen fan-out models on one engine: the queries of a file in, with their sampled fan-outs out."""

    def __init__(self, workspace: str, config: PairsConfig, seed: int) -> None:
        self._artifact = Workspace(workspace).artifact("folm")
        self._folm = FolmConfig.model_validate(self._artifact.manifest.config)
        self._config, self._seed = config, seed
        self._engine = SharedEngine(partial(FanOutModel.load, config=self._folm, resources=config.actors.resources))
        self._engine.at(self._weights(self._folm.tasks[0]))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Add ``fan_outs``: of each query, the JSON list of its lists; null for an answer that cannot be parsed."""
        answers = self._engine.at(self._weights(row["task"])).fan_out(
            row["task"],
            list(row["text"]),
            self._folm.k,
            num_samples=int(row["num_samples"]),
            temperature=self._config.temperature,
            seed=[query_seed(query_id, self._seed) for query_id in row["query_id"]],
        )
        return {**row, "fan_outs": [json.dumps(answer, ensure_ascii=False) for answer in answers]}

    def _weights(self, task: Task) -> Path:
        return self._artifact.path / task / "model"


class WritePairs:
    """Embeds and searches all fan-outs of a file at once, and writes a row for each distinct one that is kept."""

    def __init__(self, workspace: str, config: PairsConfig, folder: str) -> None:
        opened = Workspace(workspace)
        folm = FolmConfig.model_validate(opened.artifact("folm").manifest.config)
        # What settings add to a task's reward may cost a call of a judge each: here it is the task's own.
        self._rewards = TaskRewards(opened, folm.model_copy(update={"added_rewards": FolmConfig().added_rewards}))
        self._config, self._folder = config, Path(folder)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Write the file; gives its name, how many fan-outs it is of, how many were parsed, its pairs and bytes."""
        queries = [
            Query(query_id, row["task"], text, tuple(item_ids), split)
            for query_id, text, item_ids, split in zip(
                row["query_id"], row["text"], row["item_ids"], row["split"], strict=True
            )
        ]
        samples = [json.loads(fan_outs) for fan_outs in row["fan_outs"]]
        pairs, num_parsed = self._pairs(row["task"], queries, samples)
        size = write_file(pairs_table(pairs), self._folder / row["file"])
        return {
            "file": row["file"],
            "fan_outs": sum(map(len, samples)),
            "parsed": num_parsed,
            "pairs": len(pairs.sample),
            "bytes": size,
        }

    def _pairs(self, task: Task, queries: list[Query], samples: list[list[list[str] | None]]) -> tuple[Pairs, int]:
        counts = [count_equal(fan_outs) for fan_outs in samples]
        owners = [(q, place) for q, of_query in enumerate(counts) for place in of_query]
        fan_outs = [tuple(samples[q][place] or ()) for q, place in owners]
        retrieved, output = self._rewards.score(task, [queries[q] for q, _ in owners], fan_outs)
        index = self._rewards.indexes[task]
        kept = kept_rows(counts, output.total_B, self._config.keep)
        targets = [target_rows(task, retrieved, b, index.emb_MD, self._config.num_rows) for b in kept]
        dim = retrieved.query_emb_BD.shape[1]
        pairs = Pairs(
            query_id=[queries[owners[b][0]].query_id for b in kept],
            split=[queries[owners[b][0]].split for b in kept],
            sample=[owners[b][1] for b in kept],
            weight=[counts[owners[b][0]][owners[b][1]] for b in kept],
            z_q_ND=retrieved.query_emb_BD[kept],
            Z_NLD=np.stack(targets) if targets else np.empty((0, self._config.num_rows, dim), np.float32),
            reward_N=output.total_B[kept],
            components={name: output.breakdown[name][kept] for name in sorted(output.breakdown.keys() - {"parsed"})},
            item_ids=[[index.ids[hit] for hit in retrieved.hit_rows_BkK[b, : len(fan_outs[b]), 0]] for b in kept],
            sub_queries=[list(fan_outs[b]) for b in kept],
        )
        return pairs, sum(sum(of_query.values()) for of_query in counts)


def kept_rows(counts: list[dict[int, int]], reward_N: Array, keep: KeepRule) -> list[int]:
    """Places of the kept ones among the distinct fan-outs of several queries, (N,) in order, by each query's own."""
    kept, start = [], 0
    for of_query in counts:
        own_N = reward_N[start : start + len(of_query)].tolist()
        kept += [start + n for n in keep.choose(own_N, list(of_query.values()))]
        start += len(of_query)
    return kept


def run(config: PairsConfig, workspace: Workspace, seed: int) -> Artifact:
    """Write ``pairs/<task>/*.parquet`` for the train and val queries of every task the fan-out model was trained on.

    Also ``pairs/labels/<task>.parquet``, the commonest sub-queries with their embeddings, and, of ``config.recompose``,
    ``pairs/recomposed.parquet``.

    A run that was ended, by whatever, goes on with the files that are missing when it is started again.

    Raises:
        EngineError: Not one pair of a task came out.
        ArtifactError: Something else removed files that were written.
    """

    def make(folder: Path) -> int:
        tasks = FolmConfig.model_validate(workspace.artifact("folm").manifest.config).tasks
        files = [
            file
            for task in tasks
            for file in plan_files(task, asked_queries(task, config, workspace, folder, seed), config.queries_per_file)
        ]
        synthesize(files, config, workspace, folder, FanOuts, (str(workspace.root), config, seed))
        left = missing_files(files, folder)  # and what a writer that was killed left half written is gone
        if left:
            raise ArtifactError(
                str(folder),
                f"{len(left)} of {len(files)} files gone since they were written, {left[0]['file']} first",
                "every file in place",
                "keep other programs out of the folder and run the command again: it writes what is missing",
            )
        num_pairs = sum(check_written(folder / task) for task in tasks)
        if config.num_labels:
            encoder = load_encoder(workspace.artifact("encoder").path / "model")
            for task in tasks:
                write_labels(folder / task, folder / "labels" / f"{task}.parquet", encoder, config.num_labels)
        return num_pairs

    return workspace.build("pairs", config, seed, parents_of("pairs"), make, resumes=True)


def asked_queries(task: Task, config: PairsConfig, workspace: Workspace, folder: Path, seed: int) -> list[Asked]:
    """The queries of a task that are fanned out: those of its train and val splits, recomposed and recombined ones."""
    queries = [query for query in load_queries(workspace, task) if query.split != "test"]
    train, num_recombined = [query for query in queries if query.split == "train"], config.num_recombined.get(task, 0)
    # Other queries than those that stage 1 trained on, which are recombined with seed and seed + 1.
    new = recombined_queries(task, train, num_recombined, seed + 2)
    if config.recompose and task == "wscr":
        queries = [*queries, *recomposed_queries(config.recompose, config.actors, workspace, folder, seed)]
    num_fan_outs = config.num_samples * len(queries) + len(new)
    log.info("%s: %d fan-outs of %d queries and %d recombined ones", task, num_fan_outs, len(queries), len(new))
    return [*(Asked(query, config.num_samples) for query in queries), *(Asked(query, 1) for query in new)]


def synthesize(
    files: list[dict[str, Any]],
    config: PairsConfig,
    workspace: Workspace,
    folder: Path,
    source: type[Any],
    source_args: tuple[Any, ...],
) -> ray.data.Dataset | None:
    """Write those of ``files`` (of ``plan_files``) that are not below ``folder`` yet.

    Args:
        files: All files of the run.
        config: Of the stage.
        workspace: Holds the finished ingest, embed, index and folm stages.
        folder: Where ``<task>/*.parquet`` goes.
        source: The class whose instances add ``fan_outs`` to a row, as ``FanOuts`` does.
        source_args: What it is made with.

    Returns:
        The executed dataset, for its statistics; None where nothing was missing.
    """
    missing = missing_files(files, folder)
    log.info("synthesize-pairs: %d of %d files to write", len(missing), len(files))
    if not missing:
        return None
    for task in {file["task"] for file in missing}:
        (folder / task).mkdir(exist_ok=True)
    ray.data.DataContext.get_current().enable_progress_bars = False
    writer: Any = WritePairs
    rows = ray.data.from_items(missing, override_num_blocks=min(len(missing), MOST_BLOCKS))
    written = config.actors.map(rows, source, source_args).map(
        writer,
        fn_constructor_args=(str(workspace.root), config, str(folder)),
        compute=in_main_thread(config.num_writers),
        num_cpus=WRITER_CPUS,
    )
    totals: Counter[str] = Counter()
    for row in track(written.iter_rows(), "synthesize-pairs", total=len(missing)):
        totals.update({name: row[name] for name in ("fan_outs", "parsed", "pairs", "bytes")})
    log.info("synthesize-pairs: %(pairs)d pairs, %(bytes)d bytes, %(fan_outs)d fan-outs, %(parsed)d parsed", totals)
    return written
