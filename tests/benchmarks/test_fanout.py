"""The program of the fan-out benchmark, on toy shapes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import fanout


def test_the_paper_mode_measures_every_cell_or_gives_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.json"
    asked = "--paper --tiny --device cpu --batches 1 2 --evaluations 1 4 --solvers heun --modes eager graph"
    tokens = "--prompt-tokens 3 --new-tokens 2"
    fanout.BENCHMARK.main([*asked.split(), *tokens.split(), "--out", str(out)])
    written = json.loads(out.read_text())
    rows = {(row["what"], row["mode"], row["batch"], row["evaluations"]): row for row in written["rows"]}
    expected = {("language model", "transformers", batch, None) for batch in (1, 2)}
    expected |= {("diffusion heun", mode, b, e) for mode in ("eager", "graph") for b in (1, 2) for e in (1, 3)}
    assert set(rows) == expected
    for (_, mode, _, _), row in rows.items():
        if mode == "graph":
            assert row["not_measured"] == "a CUDA graph needs CUDA"
        else:
            assert 0 < row["low_ms"] <= row["median_ms"] <= row["high_ms"]
    assert written["facts"]["diffusion"]["guidance"] == 0.1
    assert written["facts"]["language_model"]["new_tokens"] == 2
    assert "not measured: a CUDA graph needs CUDA" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [[], ["workspace/cookbook", "--paper"]])
def test_a_workspace_or_the_paper_is_required(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        fanout.BENCHMARK.parse(arguments)
    assert "one of the two" in capsys.readouterr().err
