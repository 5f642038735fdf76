"""The learner's benchmark, on toy shapes."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from benchmarks import learner


def test_operations_of_a_sample_by_hand() -> None:
    """3 x 5 weights in the layers, a head of 7 x 2; 4 tokens, 3 of them new; 2 layers of 1 head of width 6."""
    config = SimpleNamespace(vocab_size=7, hidden_size=2, num_hidden_layers=2, num_attention_heads=1, head_dim=6)
    layers = nn.ModuleList([nn.Linear(3, 5, bias=False)])
    model = SimpleNamespace(config=config, model=SimpleNamespace(layers=layers))
    attention = 2 * 2 * 1 * 6 * 4**2
    assert learner.sample_flops(model, 1, 3, is_frozen=False) == 6 * (15 * 4 + 14 * 3) + 3 * attention
    assert learner.sample_flops(model, 1, 3, is_frozen=True) == 4 * (15 * 4 + 14 * 3) + 3 * attention


@pytest.mark.timeout(180)
def test_a_row_is_written_and_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "rows.json"
    asked = "--shape tiny --queries 2 --generations 2 --micro-batch 4 --prompt-tokens 3 --new-tokens 2 --steps 2"
    monkeypatch.setitem(learner.MATRIX, "cpu", 64)
    monkeypatch.setenv("TRL_EXPERIMENTAL_SILENCE", "1")
    learner.BENCHMARK.main([*asked.split(), "--lora-rank", "2", "--out", str(out)])
    (row,) = json.loads(out.read_text())["rows"]
    assert row["tokens_a_step"] == 4 * 5
    assert len(row["seconds"]) == 2
    assert 0 < row["trained"] < row["parameters"]
    assert row["share"] == pytest.approx(row["model_flops"] / row["matrix_flops"])
    assert (row["peak_gib"] is None) == (not torch.cuda.is_available())
    assert "tokens/s" in capsys.readouterr().out
