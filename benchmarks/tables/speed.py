"""Tables of the benchmarks fanout, learner, train_diffusion, train_folm, synthesize, embed and first_stages."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from itertools import pairwise

from benchmarks.harness import Result, ResultRow, Table

MODE_NAMES = {"compile": "compiled"}
SHAPE_NAMES = {"smollm2-135m": "SmolLM2-135M", "qwen3-4b": "Qwen3-4B"}
VARIANTS = ("bare loop", "all cores", "beside Ray", "cached", "streamed")
PARTS = ("generate", "score", "load", "publish")
STAGE_ORDER = ("ingest", "embed", "build-index")
GIB = 2**30


def number(value: float, whole_from: float) -> str:
    """The value as text: with one decimal below ``whole_from``, else with no decimal.

    >>> number(4.06, 10), number(46.2, 10), number(1042.7, 10)
    ('4.1', '46', '1,043')
    """
    return f"{value:.1f}" if value < whole_from else f"{value:,.0f}"


def fanout_tables(result: Result, whole_from: float = 10.0, mode: str | None = None) -> Iterator[Table]:
    """One table per scope: milliseconds of a call at each batch size, and the speed relative to the language model.

    Args:
        result: A result of ``benchmarks.fanout``.
        whole_from: Milliseconds and ratios of this size or more have no decimals.
        mode: Show this mode of the diffusion only. Default: the fastest mode of each cell, which the cell names.
    """
    rows = [row for row in result.rows if row["evaluations"] is None or mode is None or row["mode"] == mode]
    batches = sorted({row["batch"] for row in rows})
    for scope in dict.fromkeys(row["scope"] for row in rows):
        own = [row for row in rows if row["scope"] == scope]
        grid = {_label(row): _place(row) for row in own}
        lines = []
        for label in sorted(grid, key=lambda label: (grid[label], label)):
            # Leave out the configured sampler if the grid has the same solver and evaluations.
            if label.startswith("diffusion configured ") and label.replace("configured ", "") in grid:
                continue
            of_label = [row for row in own if _label(row) == label]
            cells = (_fastest([row for row in of_label if row["batch"] == b], whole_from, mode) for b in batches)
            lines.append((label.replace("configured ", ""), *cells))
        heads = [f"batch {batches[0]}", *(f"{batch:,}" for batch in batches[1:])]
        yield Table(
            columns=(f"{scope}, ms", *heads),
            rows=lines,
            notes=("In brackets: speed relative to the language model at the same batch size.",),
        )


def _place(row: ResultRow) -> tuple[bool, bool, int]:
    """Sort key: the language model first, the student last, more evaluations before fewer."""
    return row["evaluations"] is not None, row["what"].startswith("student"), -(row["evaluations"] or 0)


def _label(row: ResultRow) -> str:
    what = str(row["what"])
    if row["evaluations"] is None:
        return what
    return f"{what}, {row['evaluations']} evaluation{'s' * (row['evaluations'] > 1)}"


def _fastest(rows: Sequence[ResultRow], whole_from: float, mode: str | None) -> str:
    timed = [row for row in rows if row["median_ms"] is not None]
    if not timed:
        return "not measured"
    best = min(timed, key=lambda row: float(row["median_ms"]))
    text = number(best["median_ms"], whole_from)
    if best["evaluations"] is None:
        return text
    if best["ratio"] is not None:
        text += f" ({number(best['ratio'], whole_from)})"
    return text if mode else f"{text}, {MODE_NAMES.get(best['mode'], best['mode'])}"


def learner_table(result: Result) -> Table:
    """One line per shape, device and number of samples per pass."""
    lines = []
    for row in sorted(result.rows, key=lambda row: (row["parameters"], row["settings"]["micro_batch"])):
        asked = row["settings"]
        adapters = f", LoRA of rank {asked['lora_rank']}" if asked["lora_rank"] else ""
        memory = "not measured" if row["peak_gib"] is None else f"{row['peak_gib']:.1f}"
        lines.append(
            (
                f"{SHAPE_NAMES.get(row['shape'], row['shape'])}{adapters}",
                row["device"].removeprefix("NVIDIA ").split()[0],
                str(asked["micro_batch"]),
                str(asked["queries"] * asked["generations"]),
                f"{row['tokens_per_s']:,.0f}",
                f"{row['share']:.1%}",
                memory,
            )
        )
    heads = ("samples per pass", "samples per step", "tokens/s", "share of the matmul rate", "peak GiB")
    return Table(columns=("model", "device", *heads), rows=lines)


def train_diffusion_table(results: Sequence[tuple[str, Result]]) -> Table:
    """One line per run: samples/s of every variant, and the ratio to the first variant of the same run.

    Args:
        results: Results of ``benchmarks.train_diffusion``, each with the label of its line.
    """
    made = {row["variant"] for _, result in results for row in result.rows}
    variants = [variant for variant in VARIANTS if variant in made]
    lines = []
    for label, result in results:
        windows = {row["variant"]: row["samples_per_s"] for row in result.rows}
        first = statistics.median(next(iter(windows.values())))
        cells = []
        for variant in variants:
            if variant not in windows:
                cells.append("not measured")
                continue
            rates = windows[variant]
            middle = statistics.median(rates)
            ratio = "" if middle == first else f", {middle / first:.2f}"
            cells.append(f"{middle:,.0f} [{min(rates):,.0f}, {max(rates):,.0f}]{ratio}")
        lines.append((label, f"{result.settings['pairs']:,}", *cells))
    return Table(columns=("run", "pairs", *variants), rows=lines)


def train_folm_table(result: Result) -> Table:
    """One line per variant: medians over all steps of all turns, and the share of each part of a step."""
    lines = []
    first = None
    for variant in dict.fromkeys(row["variant"] for row in result.rows):
        own = [row for row in result.rows if row["variant"] == variant]
        rate = statistics.median(row["samples"] / row["seconds"] for row in own)
        tokens = statistics.median(row["tokens"] / row["seconds"] for row in own)
        first = first or rate
        shares = [_share(own, part) for part in PARTS]
        rest = max(0.0, 1 - sum(each for each in shares if each is not None))
        lines.append(
            (
                variant,
                str(len(own)),
                f"{rate:.1f}",
                f"{tokens:.0f}",
                f"{rate / first:.2f}",
                *("-" if each is None else f"{each:.0%}" for each in shares),
                f"{rest:.0%}",
                f"{result.facts['peak_bytes'][variant] / GIB:.1f}",
            )
        )
    return Table(
        columns=("variant", "steps", "samples/s", "tokens/s", "ratio", *PARTS, "rest", "peak GiB"),
        rows=lines,
        notes=(
            "ratio: samples/s relative to the first row. Shares are relative to the wall time of a step; with overlap",
            "their sum may exceed 1. rest: the update, and for trl also its generation.",
        ),
    )


def _share(rows: Sequence[ResultRow], part: str) -> float | None:
    shares = [row["parts"][part] / row["seconds"] for row in rows if part in row["parts"]]
    return statistics.median(shares) if shares else None


def synthesize_live_table(result: Result) -> Table:
    """Pairs/s of the plain loops (before and after) and of the graph, with the ratio of the graph to each loop."""
    live = [row for row in result.rows if row["what"] == "live"]
    loops = [row for row in result.rows if row["what"] == "loop"]
    heads = [f"graph, {row['actors']} actor{'s' * (row['actors'] > 1)}" for row in live]
    lines = []
    for threads in dict.fromkeys(row["threads"] for row in loops):
        for name in ("generation alone", "generation, then writing"):
            rates = [row[name] for row in loops if row["threads"] == threads]
            mean = statistics.mean(rates)
            ratios = (f"{pairs_per_s(row) / mean:.2f}" for row in live)
            label = f"loop, {threads} thread{'s' * (threads > 1)}: {name}"
            lines.append((label, f"{mean:.1f}", f"{rates[0]:.1f}, {rates[-1]:.1f}", *ratios))
    lines += [
        (head, f"{pairs_per_s(row):.1f}", "-", *("-" for _ in live)) for head, row in zip(heads, live, strict=True)
    ]
    return Table(columns=("run", "pairs/s", "before, after", *(f"ratio: {head}" for head in heads)), rows=lines)


def synthesize_replay_table(result: Result) -> Table:
    """Pairs/s, bytes per pair, shares of CPU time and peak memory at each number of pairs."""
    kinds = {"driver": "driver", "fan-outs": "replay", "writer": "writer", "rest of Ray": "rest of Ray"}
    replays = [row for row in result.rows if row["what"] == "replay"]
    lines = []
    for row in replays:
        cpu_s, peak = row["usage"]["cpu_s"], row["usage"]["peak_bytes"]
        cells = (
            f"{cpu_s.get(kind, 0.0) / sum(cpu_s.values()):.0%}, {peak.get(kind, 0) / GIB:.2f} GiB" for kind in kinds
        )
        figures = (f"{row['whole_s']:.1f}", f"{pairs_per_s(row):,.0f}", f"{row['bytes'] / row['pairs']:.0f}")
        lines.append((f"{row['pairs']:,}", *figures, *cells, f"{peak['all'] / GIB:.2f} GiB"))
    notes = []
    for less, more in pairwise(replays):
        rate = (more["pairs"] - less["pairs"]) / (more["whole_s"] - less["whole_s"])
        notes.append(f"from {less['pairs']:,} to {more['pairs']:,} pairs: {rate:.0f} more pairs per additional second")
    return Table(
        columns=("pairs", "seconds with startup", "pairs/s", "bytes per pair", *kinds.values(), "all"),
        rows=lines,
        notes=notes,
    )


def pairs_per_s(run: ResultRow) -> float:
    """Pairs/s of a run, from its first file to its last."""
    return float(run["paced"] / run["seconds"])


def embed_table(result: Result) -> Table:
    """Texts per second and per CPU second of the loop and of the embed stage, and the ratios to the loop."""
    rates = {
        what: [
            statistics.median(row["texts"] / row[time] for row in result.rows if row["what"] == what)
            for time in ("to_last_vector_s", "seconds", "cpu_s")
        ]
        for what in ("loop", "stage")
    }
    lines = []
    for what, own in rates.items():
        cells = (f"{rate:,.0f}, {rate / loop:.2f}" for rate, loop in zip(own, rates["loop"], strict=True))
        lines.append((f"{what}, {result.settings['threads']} thread(s)", *cells))
    return Table(
        columns=("run", "texts/s to the last vector, ratio", "to the last file, ratio", "texts per CPU second, ratio"),
        rows=lines,
        notes=(f"Largest difference of a number of a vector: {result.facts['largest_difference']:.1e}.",),
    )


def runtimes_table(result: Result) -> Table:
    """Milliseconds of a query, the smallest cosine to torch, and what the answers are worth, by runtime."""
    measures = {
        "OAR theme precision: plain search": "oar_no_fanout_items",
        "OAR: r4t_diffusion": "oar_r4t_diffusion",
        "WSCR recall@100: plain search": "wscr_no_fanout_items",
        "WSCR: r4t_diffusion": "wscr_r4t_diffusion_items",
    }
    rows = [
        (
            row["runtime"],
            f"{row['ms']:.1f}, {result.rows[0]['ms'] / row['ms']:.1f}x",
            f"{min(row['cosine_oar'], row['cosine_wscr']):.4f}",
            *(f"{row[name]:.3f}" for name in measures.values()),
        )
        for row in result.rows
    ]
    return Table(columns=("runtime", "ms a query, speed", "smallest cosine to torch", *measures), rows=rows)


def first_stages_table(result: Result) -> Table:
    """Rows/s, rows per CPU second, peak memory and disk of ingest, embed and build-index at each size."""
    lines = []
    less: dict[tuple[str, str], ResultRow] = {}
    for row in sorted(result.rows, key=lambda row: (STAGE_ORDER.index(row["stage"]), row["encoder"], row["size"])):
        key = row["stage"], row["encoder"]
        before = less.get(key)
        name = f"{row['stage']}, {row['encoder']}" if row["stage"] == "embed" else row["stage"]
        rates = (f"{row['rows'] / row[time]:,.0f}" for time in ("seconds", "cpu_s"))
        more = "-" if before is None else f"{_increase(before, row, 'peak_bytes'):,.0f}"
        figures = (
            f"{row['seconds']:,.0f}",
            *rates,
            f"{row['peak_bytes'] / GIB:.2f}",
            more,
            f"{row['bytes'] / 1e6:,.0f}",
        )
        lines.append((name, f"{row['size']:,}", f"{row['rows']:,}", *figures))
        less[key] = row
    heads = ("seconds", "rows/s", "rows per CPU second", "peak GiB", "bytes of memory per row more", "MB on disk")
    return Table(columns=("stage", "items", "rows", *heads), rows=lines)


def _increase(less: ResultRow, more: ResultRow, name: str) -> float:
    """The increase of a figure for each row more."""
    return float((more[name] - less[name]) / (more["rows"] - less["rows"]))


def retrieve_table(result: Result) -> Table:
    """Queries per second and per CPU second of the plain loops and of one actor, and the ratios to the batched loop."""
    rates = {
        what: [
            statistics.median(row["queries"] / row[time] for row in result.rows if row["what"] == what)
            for time in ("seconds", "cpu_s")
        ]
        for what in ("one by one", "loop", "actor")
    }
    lines = []
    for what, own in rates.items():
        cells = (f"{rate:,.1f}, {rate / loop:.2f}" for rate, loop in zip(own, rates["loop"], strict=True))
        lines.append((f"{what}, {result.settings['threads']} thread(s)", *cells))
    return Table(columns=("run", "queries/s, ratio", "queries per CPU second, ratio"), rows=lines)
