"""The result of `r4t drift` as printed lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from r4t_ray.drift.compare import Drift
from r4t_ray.drift.verdict import Loss, Reach
from r4t_ray.errors import ConfigError
from r4t_ray.files import write_json
from r4t_ray.index import POOLS
from r4t_ray.measures.bootstrap import Estimate


def drift_lines(drift: Drift) -> Iterator[str]:
    """The printed report: the measures, one line per reason, and the verdict."""
    pool = POOLS[drift.task]
    yield f"{drift.task}: then = training queries, old {pool}; now = {drift.queries} queries, current {pool}"
    yield f"  {'':<20}{'then':>22}{'now':>22}{'change':>26}"
    for change in drift.changes:
        yield f"  {change.measure:<20}{_cell(change.then):>22}{_cell(change.now):>22}{_cell(change.difference):>26}"
    then, now = (
        f"{each.median:.3f}, {each.percentile_95:.3f}" for each in (drift.item_distance_then, drift.item_distance_now)
    )
    yield f"  {'item_distance':<20}{then:>22}{now:>22}  (median, 95th percentile)"
    yield (
        f"  no new {pool} to compare with old ones" if drift.reach is None else f"  new {pool}: {_reached(drift.reach)}"
    )
    if drift.loss is not None:
        yield f"  removed {pool}: {_lost(drift.loss)}"
    yield from (f"  reason: {reason}" for reason in drift.reasons)
    yield f"  re-synthesize: {'yes' if drift.resynthesize else 'no'}"


def _cell(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _reached(reach: Reach) -> str:
    return (
        f"{reach.num_reached} of {reach.num_new} reached ({reach.share:.1%}) by {reach.num_queries} queries; "
        f"old ones in samples of the same size: {reach.old.value:.1%} [{reach.old.low:.1%}, {reach.old.high:.1%}]"
    )


def _lost(loss: Loss) -> str:
    return f"{loss.num_removed}; they were {loss.share:.1%} of the entries in answers to training queries"


def check_out(path: Path) -> None:
    """Raise ConfigError if no file can be written at ``path``. Call it before the computation starts."""
    if path.is_dir() or not path.expanduser().parent.is_dir():
        raise ConfigError("--out", str(path), "a file in a folder that exists", "create the folder or choose another")


def write_drifts(drifts: Sequence[Drift], path: Path) -> None:
    """Write a JSON file: ``tasks`` holds one ``drift_json`` per task; ``resynthesize`` is true if any task needs it."""
    tasks = [drift_json(drift) for drift in drifts]
    write_json(path.expanduser(), {"resynthesize": any(drift.resynthesize for drift in drifts), "tasks": tasks})


def drift_json(drift: Drift) -> dict[str, Any]:
    """One task's measures, reasons and verdict, as JSON."""
    distances = {"then": asdict(drift.item_distance_then), "now": asdict(drift.item_distance_now)}
    return {
        "task": drift.task,
        "pool": POOLS[drift.task],
        "queries": drift.queries,
        "measures": {change.measure: _without_name(asdict(change)) for change in drift.changes},
        "item_distance": distances,
        "new_entries": None if drift.reach is None else asdict(drift.reach) | {"share": drift.reach.share},
        "removed_entries": None if drift.loss is None else asdict(drift.loss),
        "reasons": drift.reasons,
        "resynthesize": drift.resynthesize,
    }


def _without_name(change: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in change.items() if key != "measure"}
