"""The precision-diversity plane of OAR (open-ended abstract retrieval): methods as points, swept settings as curves.

A method can trade theme precision for Vendi, so two methods are compared at equal Vendi. Each setting of MMR, of the
DPP and of the retriever's weight of diversity is one point of a curve. The sweep uses the held-out queries and is drawn
only; no method is tuned on it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from r4t_ray.evaluation.method_answer import Answer
from r4t_ray.evaluation.methods import dpp, mmr, r4t_diffusion
from r4t_ray.evaluation.report.plots import colour_of
from r4t_ray.evaluation.results import Result
from r4t_ray.files import write_json
from r4t_ray.measures import theme_precision, vendi_score
from r4t_ray.measures.bootstrap import Estimate, bootstrap_mean, known, paired_difference

if TYPE_CHECKING:
    from r4t_ray.evaluation.trial import Trial

COMPARED = "r4t_diffusion"
"""The method that is compared with the curves of the others."""
SWEPT: dict[str, tuple[Sequence[float], Callable[..., list[Answer]]]] = {
    "mmr": (mmr.LAMBDAS, mmr.answers_at),
    "dpp": (dpp.STRENGTHS, dpp.answers_at),
    COMPARED: (r4t_diffusion.FACTORS, r4t_diffusion.answers_at),
}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The answers of one method at S settings to B held-out queries.

    Attributes:
        method: Name of the method.
        settings: The swept values.
        precision_SB: theme_precision of each query; NaN for a theme without relevant sets.
        vendi_SB: vendi of each query.
    """

    method: str
    settings: Sequence[float]
    precision_SB: NDArray[np.float64]
    vendi_SB: NDArray[np.float64]

    def precision_at(self, vendi: float) -> NDArray[np.float64] | None:
        """theme_precision of each query, interpolated to a mean Vendi; None outside the curve."""
        mean_S = self.vendi_SB.mean(axis=1)
        order = np.argsort(mean_S)
        above = int(np.searchsorted(mean_S[order], vendi))
        if above in (0, len(order)):
            return None
        low, high = order[above - 1], order[above]
        share = (vendi - mean_S[low]) / (mean_S[high] - mean_S[low])
        return np.asarray((1 - share) * self.precision_SB[low] + share * self.precision_SB[high])


def sweep(trial: Trial) -> list[Curve]:
    """The curves of the trial's methods that have a swept setting."""
    has_dial = COMPARED in trial.methods and r4t_diffusion.is_swept(trial.make_bench())
    names = [name for name in SWEPT if name in trial.methods and (has_dial or name != COMPARED)]
    return [sweep_method(trial, name) for name in names]


def sweep_method(trial: Trial, method: str) -> Curve:
    """The curve of one method."""
    settings, answers_at = SWEPT[method]
    bench = trial.make_bench()
    answers = [answers_at(bench, trial.query_emb_BD, setting) for setting in settings]
    top_SB = [[answer.top_rows for answer in of_setting] for of_setting in answers]
    return Curve(
        method=method,
        settings=settings,
        precision_SB=np.array(
            [
                [
                    theme_precision(rows.tolist(), wanted, bench.k)
                    for rows, wanted in zip(tops, trial.relevant_rows, strict=True)
                ]
                for tops in top_SB
            ]
        ),
        vendi_SB=np.array([[vendi_score(bench.index.emb_MD[rows]) / bench.k for rows in tops] for tops in top_SB]),
    )


def margins(results: Sequence[Result], curves: Sequence[Curve], num_bootstrap: int, seed: int) -> dict[str, Estimate]:
    """Curve -> theme_precision of ``COMPARED`` minus that of the curve at equal Vendi, paired by query.

    A curve that does not reach the Vendi is left out.
    """
    ours = next((one.values for one in results if one.task == "oar" and one.method == COMPARED), None)
    if ours is None:
        return {}
    others = [curve for curve in curves if curve.method != COMPARED]
    theirs = {curve.method: curve.precision_at(float(ours["vendi"].mean())) for curve in others}
    return {
        name: paired_difference(ours["theme_precision"], values_B, num_bootstrap, seed)
        for name, values_B in theirs.items()
        if values_B is not None and len(known(values_B))
    }


def write_plane(
    results: Sequence[Result], curves: Sequence[Curve], folder: Path, num_bootstrap: int, seed: int
) -> list[Path]:
    """Write plane.json (curves and margins) and plane.png; returns the path of the image, or nothing without themes."""
    points = [one for one in results if one.task == "oar" and len(known(one.values["theme_precision"]))]
    if not points or not curves:
        return []
    found = margins(results, curves, num_bootstrap, seed)
    rows = [
        {
            "method": curve.method,
            "setting": setting,
            "theme_precision": float(np.nanmean(precision_B)),
            "vendi": float(vendi_B.mean()),
        }
        for curve in curves
        for setting, precision_B, vendi_B in zip(curve.settings, curve.precision_SB, curve.vendi_SB, strict=True)
    ]
    write_json(folder / "plane.json", {"curves": rows, "margins": {name: asdict(one) for name, one in found.items()}})
    return [plot_plane(points, rows, found, folder, num_bootstrap=num_bootstrap, seed=seed)]


def plot_plane(
    points: Sequence[Result],
    rows: Sequence[dict[str, Any]],
    found: dict[str, Estimate],
    folder: Path,
    *,
    num_bootstrap: int,
    seed: int,
) -> Path:
    """Draw theme precision against Vendi: curves from ``rows``, and points with the intervals of both means."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    panel = figure.subplots()
    for method in dict.fromkeys(row["method"] for row in rows):
        own = sorted((row["vendi"], row["theme_precision"]) for row in rows if row["method"] == method)
        panel.plot(*zip(*own, strict=True), marker=".", color=colour_of(method), label=f"{method}, swept")
    for result in points:
        across, up = (bootstrap_mean(result.values[name], num_bootstrap, seed) for name in ("vendi", "theme_precision"))
        panel.errorbar(
            across.value,
            up.value,
            xerr=[[across.value - across.low], [across.high - across.value]],
            yerr=[[up.value - up.low], [up.high - up.value]],
            marker="o",
            color=colour_of(result.method),
            label=result.method,
        )
    parts = [f"{one.value:+.3f} [{one.low:+.3f}, {one.high:+.3f}] over {name}" for name, one in found.items()]
    panel.set(xlabel="vendi", ylabel="theme precision")
    panel.set_title(f"{COMPARED} at equal vendi: " + ", ".join(parts) if parts else "", fontsize="small")
    panel.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    path = folder / "plane.png"
    figure.savefig(path, dpi=120)
    return path
