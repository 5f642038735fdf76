"""Forecasts minutes, memory and disk of every stage, for ``r4t pipeline CONFIG --dry-run``. It writes nothing.

Work is counted from the settings and the catalogue; rates are figures of docs/. They hold for the shipped models on two
CPU cores. A stage whose model or device has no measured rate has no minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from r4t_ray.catalogue.datasets import CatalogueConfig, CookbookConfig, SetsConfig
from r4t_ray.catalogue.records import count_records
from r4t_ray.diffusion import DiffusionConfig
from r4t_ray.encoders import EncoderConfig
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.folm import FolmConfig
from r4t_ray.forecast import rates
from r4t_ray.index.index_types import type_of
from r4t_ray.index.write import is_on_ray
from r4t_ray.pairs import PairsConfig
from r4t_ray.rewards import BackTranslationConfig
from r4t_ray.stages import STAGES
from r4t_ray.types import Task

if TYPE_CHECKING:
    from r4t_ray.experiment import Experiment


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A stage: its work in words, seconds on the faster machine (None if not known), peak and written bytes."""

    stage: str
    work: str
    seconds: float | None
    memory: float
    disk: float


@dataclass(frozen=True, kw_only=True)
class Size:
    """Numbers of items, sets and expansions, and bytes of the files of items and sets.

    ``sets_are_items`` tells a catalogue of items only, in which each item is also a set.
    """

    items: int
    sets: int
    num_bytes: int
    expansions: int = 0
    sets_are_items: bool = False

    def queries(self, task: str, share: float = 1.0) -> int:
        """About how many queries ingest makes of the sets; ``share`` takes a part."""
        return round(rates.QUERIES[task] * self.sets * share)


def catalogue_size(config: CatalogueConfig) -> Size:
    """Count the catalogue. The records of your own files are counted, not read. Raises DataError."""
    num_bytes = rates.COOKBOOK_BYTES
    if isinstance(config, CookbookConfig):
        items, sets = rates.COOKBOOK_ITEMS, rates.COOKBOOK_SETS
    elif isinstance(config, SetsConfig):
        counted = [count_records(path) for path in (config.items, config.sets) if path is not None]
        items, sets, num_bytes = counted[0][0], counted[-1][0], sum(size for _, size in counted)
    else:
        catalogue = config.read()
        items, sets = len(catalogue.items), len(catalogue.sets)
    expansions = 0 if config.expansions is None else count_records(config.expansions)[0]
    return Size(
        items=items,
        sets=min(sets, config.max_sets or sets),
        num_bytes=num_bytes,
        expansions=expansions,
        sets_are_items=isinstance(config, SetsConfig) and not config.has_sets,
    )


def forecast(experiment: Experiment) -> list[Forecast]:
    """One forecast per stage, in their order. Raises DataError."""
    size = catalogue_size(experiment.catalogue)
    rows = size.items + size.sets + sum(map(size.queries, experiment.folm.tasks))
    work, known = _work(experiment, size, rows), _known(experiment)
    needs = _needs(experiment, size, rows, fan_outs=work["pairs"][0][0])
    forecasts = []
    for stage in STAGES:
        parts, (memory, disk) = work[stage.section], needs[stage.section]
        words = ", ".join(f"{num:,} {unit}" for num, unit, _ in parts)
        is_idle = stage.section == "folm" and not experiment.folm.train
        on_ray = not is_idle and (stage.on_ray or (stage.section == "index" and _is_indexed_on_ray(experiment, size)))
        seconds = sum(num / rate for num, _, rate in parts) + rates.START_S * on_ray
        known_s, memory = seconds if known.get(stage.section, True) else None, memory + rows * rates.ROW
        forecasts.append(Forecast(stage=stage.name, work=words, seconds=known_s, memory=memory, disk=disk))
    return forecasts


def in_words(forecasts: Sequence[Forecast]) -> list[str]:
    """A table of the forecasts, with their sums and what they hold for."""
    unknown = [one.stage for one in forecasts if one.seconds is None]
    total = _minutes(sum(one.seconds or 0.0 for one in forecasts)) + " and more" * bool(unknown)
    most, disk = max(one.memory for one in forecasts), sum(one.disk for one in forecasts)
    needs = [(one.stage, one.work, _minutes(one.seconds), one.memory, one.disk) for one in forecasts]
    rows: list[tuple[str, ...]] = [("stage", "work", "minutes", "memory, GiB", "disk, GiB")]
    for *words, memory, held in (*needs, ("in all", "", total, most, disk)):
        rows.append((*words, f"{memory / rates.GIB:.1f}", f"{held / rates.GIB:.2f}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines.append("Minutes are for the shipped models on two CPU cores, and for texts as short as the cookbook's.")
    if unknown:
        lines.append(f"No rate is measured for the model or device of {', '.join(unknown)}: time a small run.")
    return lines


def _minutes(seconds: float | None) -> str:
    if seconds is None:
        return "not known"
    slowest = seconds * rates.SLOWEST / 60
    return f"{seconds / 60:.1f} to {slowest:.1f}" if slowest >= 0.1 else "below 0.1"


def _work(experiment: Experiment, size: Size, rows: int) -> dict[str, list[tuple[int, str, float]]]:
    """Section of a stage -> number, unit and rate per second of its work."""
    tasks, folm, optimizer = experiment.folm.tasks, experiment.folm, experiment.diffusion.optimizer
    warm, pairs = folm.warm_start, experiment.pairs
    examples = sum(warm.num_passes[task] * size.queries(task, 0.8) + warm.num_recombined[task] for task in tasks)
    grpo = [folm.grpo[task] for task in tasks]
    samples = sum(each.num_steps * each.queries_per_step * each.num_generations for each in grpo)
    if not folm.train:
        examples = samples = 0
    fan_outs = sum(_fan_outs(task, pairs, size) for task in tasks)
    answers = sum(size.queries(task, 0.1) for task in tasks) * len(_methods(experiment))
    folm_calls, pairs_calls, evaluation_calls = (
        [(num, "model calls", rates.MODEL_CALLS)] * bool(num) for num in _calls(experiment, size)
    )
    texts = rows + size.expansions - size.sets * size.sets_are_items
    return {
        "catalogue": [(rows, "records", rates.INGEST_ROWS)],
        "encoder": [(texts, "texts", rates.EMBED_TEXTS)],
        "index": [(size.items + size.sets, "vectors", rates.INDEX_VECTORS)],
        "folm": [(examples, "examples", rates.WARM_START_EXAMPLES), (samples, "samples", rates.ROLLOUTS), *folm_calls],
        "pairs": [(fan_outs, "fan-outs", rates.FAN_OUTS), *pairs_calls],
        "diffusion": [(len(tasks) * optimizer.num_steps * optimizer.batch_size, "pairs", rates.DIFFUSION_SAMPLES)],
        "decoder": [(size.queries("wscr", 0.8) * ("wscr" in tasks), "sets", rates.DECODER_SETS)],
        "evaluation": [(answers, "answers", rates.EVALUATED_ANSWERS), *evaluation_calls],
    }


def _methods(experiment: Experiment) -> list[str]:
    """The methods that ``evaluate`` measures: without a language model those that ask none."""
    return [name for name in experiment.evaluation.methods if experiment.folm.train or METHODS[name].stage != "folm"]


def _fan_outs(task: Task, pairs: PairsConfig, size: Size) -> int:
    """Fan-outs of a task that become pairs; WSCR has one for each query if all come from references."""
    num = size.queries(task, 0.9)
    if task == "wscr" and pairs.reference_share.wscr == 1:
        return num
    return pairs.num_samples * num + pairs.num_recombined[task]


def _calls(experiment: Experiment, size: Size) -> tuple[int, int, int]:
    """Calls of the language model of the back-translation reward, if every set is new: train-folm, pairs, evaluate."""
    folm, pairs = experiment.folm, experiment.pairs
    reward, grpo = folm.reward.oar, folm.grpo["oar"]
    if "oar" not in folm.tasks or not isinstance(reward, BackTranslationConfig):
        return 0, 0, 0
    per_query = reward.num_random
    trained = grpo.num_steps * grpo.queries_per_step * (grpo.num_generations + per_query) * folm.train
    is_choice = pairs.select.type != "all" and pairs.num_samples > 1
    sampled = size.queries("oar", 0.9) * (pairs.num_samples + per_query) * is_choice
    evaluated = size.queries("oar", 0.1) * (len(_methods(experiment)) + per_query)
    return trained, sampled, evaluated


def _needs(experiment: Experiment, size: Size, rows: int, *, fan_outs: int) -> dict[str, tuple[float, float]]:
    """Section of a stage -> peak bytes of all its processes without the catalogue, most bytes that it holds on disk."""
    tasks, dim, folm = experiment.folm.tasks, experiment.encoder.dim, experiment.folm
    workers = experiment.diffusion.workers.num
    index = (size.items + size.sets) * (4 * dim + rates.HNSW)
    # Ray holds the rows of the tasks, and the tasks hold the shards.
    building = rates.RAY + (size.items + size.sets) * 4 * dim if _is_indexed_on_ray(experiment, size) else 0
    return {
        "catalogue": (rates.PROCESS, size.num_bytes),
        "encoder": (rates.RAY + rates.MODEL * experiment.encoder.actors.num, 4 * rows * (dim + rates.NATIVE_DIM)),
        "index": (rates.PROCESS + 2 * index + building, index),
        "folm": (
            (rates.FOLM + rates.ROLLOUT * folm.rollout.num, rates.FOLM_DISK * len(tasks))
            if folm.train
            else (rates.PROCESS, 0)
        ),
        "pairs": (rates.PAIRS + rates.ENGINE * experiment.pairs.actors.num, rates.PAIR * fan_outs),
        "diffusion": (rates.DIFFUSION + rates.WORKER * workers, rates.DIFFUSION_DISK * len(tasks)),
        "decoder": (rates.MODEL, rates.DECODER_ITEM * size.items * ("wscr" in tasks)),
        "evaluation": (rates.PAIRS + rates.ENGINE, rates.REPORT),
    }


def _is_indexed_on_ray(experiment: Experiment, size: Size) -> bool:
    """Whether build-index adds the shards of a pool in Ray tasks."""
    config, dim = experiment.index, experiment.encoder.dim
    pools = (size.items, size.sets)
    return any(is_on_ray(type_of(config, num, dim), num * dim, config.num_shards) for num in pools)


def _known(experiment: Experiment) -> dict[str, bool]:
    """Section of a stage -> whether a rate of its model and device is measured."""
    encoder, folm, pairs, diffusion = experiment.encoder, experiment.folm, experiment.pairs, experiment.diffusion
    is_shipped = not folm.train or (folm.base_model == FolmConfig().base_model and not folm.rollout.gpus)
    return {
        "encoder": encoder.model == EncoderConfig().model and not encoder.actors.gpus,
        "folm": is_shipped and not folm.learner.gpus,
        "pairs": is_shipped and not pairs.actors.gpus and pairs.recompose is None,
        "diffusion": diffusion.network == DiffusionConfig().network and not diffusion.workers.gpus,
        "evaluation": is_shipped,
    }
