"""Example answers: drawn by the seed, side by side, and safe inside a markdown table."""

from __future__ import annotations

import numpy as np

from r4t_ray.evaluation.method_answer import Answer, empty_answer
from r4t_ray.evaluation.report.examples import SHOWN_CHARS, Asked, cell, drawn_queries, example_table


def answer(*top: int) -> Answer:
    hits_kn = np.array([[row, 0] for row in top], dtype=np.int64)
    return Answer(directions_kD=np.ones((len(top), 2), dtype=np.float32), hits_kn=hits_kn)


def test_the_seed_draws_ten_different_queries():
    drawn = drawn_queries(50, seed=3)
    assert drawn == sorted(set(drawn)) == drawn_queries(50, seed=3)
    assert len(drawn) == 10
    assert any(drawn_queries(50, seed) != drawn for seed in range(3))


def test_every_method_shows_its_top_items_in_order_and_wanted_ones_are_bold():
    asked = Asked(queries=["soup", "pie"], wanted=[{2}, set()], texts=["salt", "le|ek", "oil"])
    answers = {"r4t_diffusion": [answer(2, 1), empty_answer(2, 2)], "mmr": [answer(0, 2), answer(1, 2)]}
    assert list(example_table(asked, answers, seed=0)) == [
        "| query | r4t_diffusion | mmr |",
        "|---|---|---|",
        r"| soup | **oil**; le\|ek | salt; **oil** |",
        r"| pie | (no answer) | le\|ek; oil |",
    ]


def test_a_long_text_is_cut_and_a_newline_does_not_end_the_row():
    assert cell("a\n\tb") == "a b"
    assert cell("x" * 500) == "x" * (SHOWN_CHARS - 1) + "…"
    assert cell("x" * SHOWN_CHARS) == "x" * SHOWN_CHARS
