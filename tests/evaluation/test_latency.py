from __future__ import annotations

import numpy as np
import pytest

from r4t_ray.evaluation import latency
from r4t_ray.evaluation.latency import time_generation


class Clocked:
    """A generator that takes scripted seconds, measured by its simulated clock."""

    def __init__(self, seconds):
        self.seconds, self.now, self.batches, self.seeds = list(seconds), 0.0, [], []

    def perf_counter(self):
        return self.now

    def generate(self, queries, query_emb_BD, seed):
        assert [query.text for query in queries] == [str(int(row[0])) for row in query_emb_BD]
        self.batches.append([query.text for query in queries])
        self.seeds.append(seed)
        self.now += self.seconds.pop(0)


def test_first_call_is_not_timed_and_queries_are_reused(monkeypatch, toy_query):
    method = Clocked([9.0, 0.010, 0.020, 0.030])
    monkeypatch.setattr(latency, "time", method)
    queries = [toy_query(str(row), str(row)) for row in range(3)]
    emb = np.arange(3, dtype=np.float32)[:, None].repeat(2, axis=1)
    found = time_generation(method.generate, queries, emb, batch=2, repeats=3, seed=5)
    assert found == pytest.approx([10.0, 20.0, 30.0])
    assert method.batches == [["0", "1"], ["2", "0"], ["1", "2"], ["0", "1"]]
    assert method.seeds == [5, 6, 7, 8]
