"""Recombined queries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from r4t_ray.catalogue.queries.recombine import MAX_WORDS, recombine

WORDS = st.sampled_from(["soup", "lemon", "beef", "rice", "pie"])
TEXTS = st.lists(st.lists(WORDS, min_size=1, max_size=4).map(" ".join), max_size=8)


@given(TEXTS, st.integers(0, 12), st.integers(0, 3))
def test_a_new_text_joins_the_head_of_one_text_and_the_tail_of_another(texts: list[str], count: int, seed: int) -> None:
    made = recombine(texts, count, seed)
    assert made == sorted(set(made)) == recombine(texts, count, seed)
    assert len(made) <= count
    assert not set(made) & set(texts)
    heads = {" ".join(text.split()[:n]) for text in texts for n in range(1, 5)}
    tails = {" ".join(text.split()[-n:]) for text in texts for n in range(1, 5)}
    for text in made:
        words = text.split()
        assert len(words) <= MAX_WORDS
        assert len(set(words)) == len(words)
        cuts = [(" ".join(words[:cut]), " ".join(words[cut:])) for cut in range(1, len(words))]
        assert any(head in heads and tail in tails for head, tail in cuts)


def test_another_seed_makes_other_texts_and_punctuation_is_dropped() -> None:
    texts = [f"dish{row} (of place{row}), style{row}" for row in range(30)]
    first, second = recombine(texts, 50, seed=0), recombine(texts, 50, seed=1)
    assert len(first) == len(second) == 50
    assert first != second
    assert not set("(),") & set("".join(first))


def test_a_held_out_text_is_never_made() -> None:
    training = ["lemon soup", "fish cake"]
    made = recombine(training, 50, seed=0, held_out=["Lemon  Cake!", "fish SOUP II"])
    assert {"lemon cake", "fish soup"} <= set(recombine(training, 50, seed=0))
    assert "lemon fish cake" in made
    assert not set(made) & {"lemon cake", "fish soup"}
