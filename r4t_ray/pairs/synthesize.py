"""Stage 2 on Ray Data: queries -> fan-outs of the frozen language model or of an optimiser -> targets -> parquet.

Two classes of actors do the work. A row that passes between them holds the queries of one file. Differences from
arXiv 2603.06397:

1. A setting selects which fan-outs count as successful. The paper gives no rule; the default selects all that can be
   parsed.
2. Equal fan-outs of a query become one pair with a weight.
3. Where training queries are few, recombining them gives additional queries; these have no reference set.
4. A share of the pairs has entries of the query's own reference as its target (``references``).
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
from r4t_ray.catalogue import Query
from r4t_ray.encoders import load_encoder
from r4t_ray.errors import ArtifactError, DataError
from r4t_ray.folm import FanOutModel, SharedEngine
from r4t_ray.folm.rollout.pool_entries import PoolEntries
from r4t_ray.folm.rollout.task_rewards import TaskRewards, no_scorer, open_rubric
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.pairs.actors import map_on_actors
from r4t_ray.pairs.files import (
    Pairs,
    PairSource,
    check_written,
    missing_files,
    pairs_table,
    query_seed,
    write_file,
)
from r4t_ray.pairs.greedy import PickEntries
from r4t_ray.pairs.labels import write_labels
from r4t_ray.pairs.plan import planned_files
from r4t_ray.pairs.references import PickReferences
from r4t_ray.pairs.select import SelectAll, SelectRule, count_equal
from r4t_ray.pairs.settings import PairsConfig
from r4t_ray.pairs.targets import target_rows
from r4t_ray.progress import track
from r4t_ray.rewards import BackTranslationConfig
from r4t_ray.rewards.back_translation import COST
from r4t_ray.stages import parents_of
from r4t_ray.types import Array, Task

_logger = logging.getLogger(__name__)

MOST_BLOCKS = 10_000
"""Most Ray Data blocks; if there are more files, a block holds several."""


class SampleSubQueries:
    """A Ray Data actor: samples fan-outs for the queries of a file, from the frozen models on one engine."""

    def __init__(self, workspace: str, config: PairsConfig, seed: int) -> None:
        self._artifact = Workspace(workspace).artifact("folm")
        self._folm = FolmConfig.model_validate(self._artifact.manifest.config)
        self._config, self._seed = config, seed
        self._engine = SharedEngine(partial(FanOutModel.load, config=self._folm, resources=config.actors))
        self._engine.at(self._weights(self._folm.tasks[0]))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with ``fan_outs``: for each query a JSON list of fan-outs, null where one cannot be parsed."""
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
    """A Ray Data actor: embeds, searches and rewards the fan-outs of a file, and writes the selected ones as pairs."""

    def __init__(self, workspace: str, config: PairsConfig, folder: str) -> None:
        opened = Workspace(workspace)
        folm = FolmConfig.model_validate(opened.artifact("folm").manifest.config)
        # Added rewards are left out, because a judge may cost one call per fan-out.
        folm = folm.model_copy(update={"added_rewards": FolmConfig().added_rewards})
        self._rewards = TaskRewards(opened, folm)
        self._unasked = None
        if "oar" in folm.tasks and isinstance(folm.reward.oar, BackTranslationConfig):
            self._unasked = open_rubric("oar", opened, folm, self._rewards.indexes["oar"].ids, no_scorer)
        self._config, self._folder = config, Path(folder)
        picked = {task for task in folm.tasks if config.policy[task] == "greedy"}
        picked |= {task for task in folm.tasks if config.reference_share[task]}
        indexes = self._rewards.indexes
        self._entries = {task: PoolEntries(opened, task, indexes[task]) for task in picked}

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Write the file; returns its name, its bytes, and its numbers of fan-outs, parsed fan-outs and pairs."""
        queries = [
            Query(query_id=query_id, task=row["task"], text=text, item_ids=tuple(item_ids), split=split)
            for query_id, text, item_ids, split in zip(
                row["query_id"], row["text"], row["item_ids"], row["split"], strict=True
            )
        ]
        samples = [json.loads(fan_outs) for fan_outs in row["fan_outs"]]
        entries = None if row["source"] == "folm" else self._entries[row["task"]]
        pairs, num_parsed = self._pairs(
            row["task"], queries, samples, entries, source=row["source"], first_sample=int(row["first_sample"])
        )
        size = write_file(pairs_table(pairs), self._folder / row["file"])
        return {
            "file": row["file"],
            "fan_outs": sum(map(len, samples)),
            "parsed": num_parsed,
            "pairs": len(pairs.sample),
            "bytes": size,
        }

    def _pairs(
        self,
        task: Task,
        queries: list[Query],
        samples: list[list[list[str] | None]],
        entries: PoolEntries | None = None,
        *,
        source: PairSource,
        first_sample: int = 0,
    ) -> tuple[Pairs, int]:
        rule = SelectAll() if source == "reference" else self._config.select
        counts = [count_equal(fan_outs) for fan_outs in samples]
        owners = [(q, position) for q, of_query in enumerate(counts) for position in of_query]
        fan_outs = [tuple(samples[q][position] or ()) for q, position in owners]
        # A slow reward is asked only where there is something to choose. The reward of other pairs is NaN.
        is_choice = rule.type != "all" and any(len(of_query) > 1 for of_query in counts)
        rubric = None if is_choice or task == "wscr" else self._unasked
        retrieved, output = self._rewards.score(task, [queries[q] for q, _ in owners], fan_outs, entries, rubric)
        index = self._rewards.indexes[task]
        selected = selected_rows(counts, output.total_B, rule)
        rows_of = partial(target_rows, task, retrieved, nearest_alone=source == "reference")
        targets = [rows_of(b, index.emb_MD, self._config.num_rows) for b in selected]
        dim = retrieved.query_emb_BD.shape[1]
        pairs = Pairs(
            query_id=[queries[owners[b][0]].query_id for b in selected],
            split=[queries[owners[b][0]].split for b in selected],
            sample=[first_sample + owners[b][1] for b in selected],
            weight=[counts[owners[b][0]][owners[b][1]] for b in selected],
            z_q_ND=retrieved.query_emb_BD[selected],
            Z_NLD=np.stack(targets) if targets else np.empty((0, self._config.num_rows, dim), np.float32),
            reward_N=output.total_B[selected],
            components={
                name: values_B[selected]
                for name, values_B in sorted(output.breakdown.items())
                if name not in NO_COMPONENTS
            },
            item_ids=[[index.ids[hit] for hit in retrieved.hit_rows_BkK[b, : len(fan_outs[b]), 0]] for b in selected],
            sub_queries=[entries.texts(fan_outs[b]) if entries else list(fan_outs[b]) for b in selected],
        )
        return pairs, sum(sum(of_query.values()) for of_query in counts)


NO_COMPONENTS = {"parsed", *(f"back_translation_{name}" for name in COST)}
"""Components of the rewards that the files leave out: 1 for every pair, or different in each run."""

SOURCES: dict[PairSource, type[Any]] = {
    "folm": SampleSubQueries,
    "greedy": PickEntries,
    "reference": PickReferences,
}
"""The class of actors that makes the fan-outs of each source."""


def selected_rows(counts: list[dict[int, int]], reward_N: Array, rule: SelectRule) -> list[int]:
    """Apply the rule to each query; returns positions among the N distinct fan-outs of all queries, ascending."""
    selected, start = [], 0
    for of_query in counts:
        own_N = reward_N[start : start + len(of_query)].tolist()
        selected += [start + n for n in rule.choose(own_N, list(of_query.values()))]
        start += len(of_query)
    return selected


def run(config: PairsConfig, workspace: Workspace, seed: int) -> Artifact:
    """Write ``pairs/<task>/*.parquet`` for the train and val queries of every task that the fan-out model can do.

    It also writes ``pairs/labels/<task>.parquet``, the most frequent sub-queries with their embeddings. With
    ``config.recompose`` it writes the recomposed queries, ``pairs/recomposed.parquet``.

    A run that was stopped or killed continues with the missing files when it is started again.

    Raises:
        EngineError: A task has no pair.
        ArtifactError: Another program removed files that were written.
    """

    def make(folder: Path) -> int:
        folm = FolmConfig.model_validate(workspace.artifact("folm").manifest.config)
        tasks = folm.tasks
        files = [file for task in tasks for file in planned_files(task, config, workspace, folder, seed)]
        if not folm.train and any(file["source"] == "folm" for file in files):
            raise DataError(
                "folm/",
                "no language model to sample (folm.train: false)",
                "a trained one, or pairs from the greedy optimiser (oar) and from references (wscr) alone",
                "run `r4t train-folm` with folm.train: true, or set pairs.policy.oar: greedy and "
                "pairs.reference_share.wscr: 1 and give wscr queries with relevant items",
            )
        arguments = (str(workspace.root), config, seed)
        for name, source in SOURCES.items():
            chosen = [file for file in files if file["source"] == name]
            if chosen:
                synthesize(chosen, config, workspace, folder, source=source, source_args=arguments)
        left = missing_files(files, folder)  # this also removes half-written files of a killed writer
        if left:
            raise ArtifactError(
                str(folder),
                f"{len(left)} of {len(files)} files removed after they were written, first {left[0]['file']}",
                "every file in place",
                "keep other programs out of the folder and run the command again; it writes the missing files",
            )
        num_pairs = sum(check_written(folder / task) for task in tasks)
        if config.num_labels:
            encoder = load_encoder(workspace.artifact("encoder").path / "model")
            for task in tasks:
                write_labels(folder / task, folder / "labels" / f"{task}.parquet", encoder, config.num_labels)
        return num_pairs

    return workspace.build("pairs", config, seed, parents_of("pairs"), make, resumes=True)


def synthesize(
    files: list[dict[str, Any]],
    config: PairsConfig,
    workspace: Workspace,
    folder: Path,
    *,
    source: type[Any],
    source_args: tuple[Any, ...],
) -> ray.data.Dataset | None:
    """Write the files that are not in ``folder`` yet.

    Args:
        files: All files of the run, from ``plan_files``.
        config: Settings of the stage.
        workspace: Holds the finished catalogue, encoder, index and folm stages.
        folder: Where ``<task>/*.parquet`` goes.
        source: Class of actors that add ``fan_outs`` to a row, such as ``SampleSubQueries``.
        source_args: The arguments of its constructor.

    Returns:
        The executed dataset with its statistics; None when no file was missing.
    """
    missing = missing_files(files, folder)
    _logger.info("synthesize-pairs: %d of %d files to write", len(missing), len(files))
    if not missing:
        return None
    for task in {file["task"] for file in missing}:
        (folder / task).mkdir(exist_ok=True)
    ray.data.DataContext.get_current().enable_progress_bars = False
    rows = ray.data.from_items(missing, override_num_blocks=min(len(missing), MOST_BLOCKS))
    written = map_on_actors(
        # Only the language model needs an engine, and with it perhaps a GPU.
        map_on_actors(rows, source, source_args, config.actors if source is SampleSubQueries else config.writers),
        WritePairs,
        (str(workspace.root), config, str(folder)),
        config.writers,
    )
    totals: Counter[str] = Counter()
    for row in track(written.iter_rows(), "synthesize-pairs", total=len(missing)):
        totals.update({name: row[name] for name in ("fan_outs", "parsed", "pairs", "bytes")})
    _logger.info("synthesize-pairs: %(pairs)d pairs, %(bytes)d bytes, %(fan_outs)d fan-outs, %(parsed)d parsed", totals)
    return written
