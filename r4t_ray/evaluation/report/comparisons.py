"""Paired tests of the trained methods against the best cheap method of the same format.

A method is cheap if it reads no model. It is trained if its name begins with ``r4t_``. The best cheap method is the one
with the highest mean over the same held-out queries. Choosing it by these queries favours the cheap side. The trained
side is not chosen by them: it is the retriever that serves, if it was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from r4t_ray.evaluation.bench import Method
from r4t_ray.evaluation.methods import METHODS
from r4t_ray.evaluation.results import Result
from r4t_ray.measures.bootstrap import Estimate, paired_difference

FORMATS = ("directions", "items")

SERVED = ("r4t_diffusion", "r4t_diffusion_items")
"""Methods that answer as the server does; one for each format."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A trained method against the best cheap method of the same format, by one measure.

    Attributes:
        format: The format of both answers: directions or items.
        measure: The measure.
        trained: Name of the trained method.
        cheap: Name of the cheap method with the highest mean of the measure.
        difference: Mean over queries of trained minus cheap, with its 95% interval, paired by query. A query counts if
            both have a value.
    """

    format: str
    measure: str
    trained: str
    cheap: str
    difference: Estimate

    @property
    def verdict(self) -> str:
        """``above`` or ``below`` if the interval leaves 0 out, else ``unclear``."""
        if self.difference.low > 0:
            return "above"
        return "below" if self.difference.high < 0 else "unclear"


def is_cheap(method: Method) -> bool:
    """Whether a method reads no model."""
    return method.model is None


def is_trained(method: Method) -> bool:
    """Whether a method answers with a model that R4T trained to the end. The warm-started language model is neither."""
    return method.name.startswith("r4t_")


def best_cheap(results: Sequence[Result], answer_format: str, measure: str) -> Result | None:
    """The cheap result of a format with the highest mean of the measure; None if no cheap result has a value.

    Args:
        results: Results of one task.
        answer_format: directions or items.
        measure: The measure.
    """
    cheap = [row for row in results if is_cheap(METHODS[row.method]) and _mean_of(row, measure) is not None]
    same = [row for row in cheap if METHODS[row.method].format == answer_format]
    return max(same, key=lambda row: row.mean(measure), default=None)


def compare(results: Sequence[Result], measures: Sequence[str], num_bootstrap: int, seed: int) -> list[Comparison]:
    """Every trained result against the best cheap one, for each format and measure.

    Args:
        results: Results of one task, over the same queries.
        measures: Measures to compare by. Higher must be better.
        num_bootstrap: Resamples of each interval.
        seed: Seed of the resamples.

    Returns:
        Sorted by format, then by measure. Empty without a trained or without a cheap method.
    """
    found = []
    for answer_format in FORMATS:
        trained = [
            row for row in results
            if is_trained(METHODS[row.method]) and METHODS[row.method].format == answer_format
        ]  # fmt: skip
        for measure in measures:
            cheap = best_cheap(results, answer_format, measure)
            for row in trained if cheap is not None else ():
                assert cheap is not None
                difference = _difference(row, cheap, measure, num_bootstrap, seed)
                if difference is not None:
                    found.append(
                        Comparison(
                            format=answer_format,
                            measure=measure,
                            trained=row.method,
                            cheap=cheap.method,
                            difference=difference,
                        )
                    )
    return found


def who_wins(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, str]]:
    """For each format and measure, (format, one sentence): a trained method against the best cheap one.

    The trained method is the one of ``SERVED``. Without it, the best trained method is taken.
    """
    for answer_format, measure in dict.fromkeys((one.format, one.measure) for one in comparisons):
        same = [one for one in comparisons if (one.format, one.measure) == (answer_format, measure)]
        served = [one for one in same if one.trained in SERVED]
        yield answer_format, sentence(max(served or same, key=lambda one: one.difference.value))


def sentence(one: Comparison) -> str:
    """Who wins, by how much, and the interval."""
    value, low, high = one.difference.value, one.difference.low, one.difference.high
    if one.verdict == "above":
        margin = f"{value:.3f} [{low:.3f}, {high:.3f}]"
        return f"By {one.measure}, {one.trained} wins by {margin} over {one.cheap}, the best cheap method."
    if one.verdict == "below":
        margin = f"{-value:.3f} [{-high:.3f}, {-low:.3f}]"
        return f"By {one.measure}, the cheap method {one.cheap} wins by {margin} over {one.trained}."
    return (
        f"By {one.measure}, neither wins: {one.trained} minus {one.cheap}, the best cheap method, is "
        f"{value:+.3f} [{low:+.3f}, {high:+.3f}]."
    )


def _mean_of(row: Result, measure: str) -> float | None:
    mean = row.mean(measure) if measure in row.values else math.nan
    return None if math.isnan(mean) else mean


def _difference(ours: Result, theirs: Result, measure: str, num_bootstrap: int, seed: int) -> Estimate | None:
    """The paired difference; None if no query has a value on both sides."""
    if measure not in ours.values or np.isnan(ours.values[measure] - theirs.values[measure]).all():
        return None
    return paired_difference(ours.values[measure], theirs.values[measure], num_bootstrap, seed)
