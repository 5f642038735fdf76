"""What the actor of the fan-out graph asks of its engine, and what is checked of the files, without Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.errors import EngineError
from r4t_ray.folm import FanOutModel
from r4t_ray.folm.settings import FolmConfig
from r4t_ray.pairs.synthesize import FanOutBatch, PairsConfig, check_written


class Echo:
    """A model whose answers say which weights it has and what it was asked."""

    def __init__(self, model_dir: Path) -> None:
        self.load_weights(model_dir)

    def load_weights(self, model_dir: Path) -> None:
        self.weights = model_dir.parent.name

    def fan_out(
        self, task: str, queries: list[str], k: int, *, num_samples: int, temperature: float, seed: int
    ) -> list[list[tuple[str, ...]]]:
        return [[(self.weights, task, query, str(seed))] * num_samples for query in queries]


@pytest.fixture
def fan_out_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FanOutBatch:
    workspace = Workspace(tmp_path)
    workspace.build("folm", FolmConfig(), 0, [], lambda folder: 1)
    monkeypatch.setattr(FanOutModel, "load", lambda model_dir, config: Echo(model_dir))
    return FanOutBatch(str(tmp_path), PairsConfig(num_samples=2), seed=5)


def batch_of(*rows: tuple[str, str, int, int]) -> dict[str, Any]:
    task, text, num_samples, position = (np.array(column) for column in zip(*rows, strict=True))
    return {"task": task, "text": text, "num_samples": num_samples, "position": position}


def test_every_query_is_answered_by_its_own_tasks_model_wherever_it_stands(fan_out_batch: FanOutBatch) -> None:
    rows = [("wscr", "a", 2, 10), ("oar", "b", 1, 11), ("wscr", "c", 1, 12), ("oar", "d", 1, 13), ("wscr", "e", 2, 14)]
    answers = fan_out_batch(batch_of(*rows))["fan_outs"].tolist()
    # A run of one model and one number of samples has one seed: its first position's.
    first = {("oar", 1): 11, ("wscr", 1): 12, ("wscr", 2): 10}
    for (task, text, num_samples, _), answer in zip(rows, answers, strict=True):
        said = f'["{task}", "{task}", "{text}", "{5 + 1_009 * first[task, num_samples]}"]'
        assert answer == f"[{', '.join([said] * num_samples)}]"


def test_a_model_stays_loaded_from_batch_to_batch(fan_out_batch: FanOutBatch) -> None:
    for task in ("wscr", "wscr", "oar"):
        (answer,) = fan_out_batch(batch_of((task, "a", 1, 0)))["fan_outs"].tolist()
        assert answer.startswith(f'[["{task}", "{task}"')


def test_a_task_without_a_pair_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"pairs/oar.*no fan-out that could be parsed"):
        check_written(tmp_path / "oar")
    (tmp_path / "wscr").mkdir()
    pq.write_table(pa.table({"sample": [0, 1]}), tmp_path / "wscr" / "a.parquet")
    assert check_written(tmp_path / "wscr") == 2
