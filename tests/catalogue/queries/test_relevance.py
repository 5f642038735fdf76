"""The relevant sets of a theme, against sets that are listed by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import ItemSet, SetsConfig, load_queries, load_relevance, load_sets, run
from r4t_ray.catalogue.queries.relevance import core_words, relevant_sets, singulars


def found(cores: list[str], sets: Sequence[ItemSet]) -> list[tuple[str, ...]]:
    return [tuple(sets[row].set_id for row in rows) for rows in relevant_sets(cores, sets)]


def made(set_id: str, title: str, description: str = "", *categories: str) -> ItemSet:
    return ItemSet(set_id=set_id, title=title, description=description, item_ids=(), categories=categories)


SETS = (
    made("a", "Lemon Soup"),
    made("b", "Soups with lemons"),
    made("c", "Grandma's Best", "a soup", "Lemon recipes"),
    made("d", "Soupe au citron (lemon)"),
    made("e", "Lemon cake"),
    made("f", "Crème-brûlée"),
)


def test_a_set_holds_every_core_word_in_title_category_or_description() -> None:
    assert found(["lemon soup", "lemon", "creme", "cake soup"], SETS) == [
        ("a", "b", "c"),
        ("a", "b", "c", "d", "e"),
        ("f",),
        (),
    ]


@pytest.mark.parametrize(
    ("one", "many"),
    [("soup", "soups"), ("berry", "berries"), ("dish", "dishes"), ("tomato", "tomatoes"), ("pie", "pies"),
     ("loaf", "loaves"), ("knife", "knives"), ("olive", "olives"), ("shoe", "shoes"), ("house", "houses"),
     ("dress", "dresses"), ("menu", "menus"), ("shepherd", "shepherd's")],
)  # fmt: skip
def test_singular_and_plural_match_both_ways(one: str, many: str) -> None:
    assert found([one, many], [made("one", one), made("many", many)]) == [("one", "many")] * 2


@pytest.mark.parametrize(
    ("word", "other"),
    [("cap", "capes"), ("pin", "pines"), ("car", "cares"), ("glass", "glas"), ("gas", "ga"), ("soup", "soupy")],
)
def test_similar_words_do_not_match(word: str, other: str) -> None:
    assert found([word], [made("other", other)]) == [()]
    assert not singulars(word) & singulars(other)


def test_words_of_any_frequency_give_what_a_search_of_every_set_gives() -> None:
    rng = np.random.default_rng(0)
    words = np.array([f"word{letter}" for letter in "abcdefgh"])
    texts = [" ".join(rng.choice(words, size=rng.integers(1, 5), p=np.arange(1, 9) / 36)) for _ in range(60)]
    cores = [" ".join(words[list(pick)]) for pick in ((0,), (7,), (0, 7), (7, 0), (3, 5, 7), (1, 1))]
    expected = [
        tuple(str(n) for n, text in enumerate(texts) if set(core.split()) <= set(text.split())) for core in cores
    ]
    assert found(cores, [made(str(n), text) for n, text in enumerate(texts)]) == expected


def test_stop_words_are_not_asked_for_unless_there_is_nothing_else() -> None:
    assert core_words("style of the house") == ("house",)
    assert core_words("of the") == ("of", "the")
    assert found(["rice and pasta", ""], [made("a", "Pasta, rice")]) == [("a",), ()]


def ingested(folder: Path, titles: list[str]) -> Workspace:
    (folder / "items.jsonl").write_text(json.dumps({"item_id": "i", "text": "thing"}))
    rows = [{"set_id": f"s{n}", "title": title, "item_ids": ["i"]} for n, title in enumerate(titles)]
    (folder / "sets.jsonl").write_text("\n".join(map(json.dumps, rows)))
    workspace = Workspace(folder / "workspace")
    run(SetsConfig(items=folder / "items.jsonl", sets=folder / "sets.jsonl"), workspace, seed=0)
    return workspace


def test_every_theme_has_the_sets_of_its_core(tmp_path: Path) -> None:
    workspace = ingested(tmp_path, [f"{word} soup" for word in ("leek", "fish", "bean", "corn") * 2])
    relevance = load_relevance(workspace)
    assert sorted(relevance) == [query.query_id for query in load_queries(workspace, "oar")]
    stored = pq.read_table(workspace.artifact("catalogue").file("relevance.parquet"))["core"].to_pylist()
    assert len(stored) == len(set(stored)) < len(relevance)
    assert relevance["oar:simple soup"] == {row.set_id for row in load_sets(workspace)}
    assert load_relevance(workspace, ["oar:soup", "other"]) == {"oar:soup": relevance["oar:soup"]}
    assert load_relevance(workspace, []) == {}
    new = (made("new", "Cold soups"), made("pie", "Pie"))
    assert load_relevance(workspace, ["oar:soup"], new) == {"oar:soup": relevance["oar:soup"] | {"new"}}
    assert load_relevance(workspace, ["oar:soup"], (made("s1", "Pie"),)) == {"oar:soup": relevance["oar:soup"] - {"s1"}}


def test_a_title_that_is_a_query_asks_for_its_own_words(tmp_path: Path) -> None:
    workspace = ingested(tmp_path, ["Red Things", "blue", "Blue and red thing"])
    assert load_relevance(workspace) == {
        "oar:blue": {"s1", "s2"},
        "oar:blue and red thing": {"s2"},
        "oar:red things": {"s0", "s2"},
    }
