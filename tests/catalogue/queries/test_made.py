"""Titles, splits, staples, themes and ingredient lines, on hand-made cases."""

from __future__ import annotations

import string
from collections import Counter
from dataclasses import replace

import pytest

from r4t_ray.catalogue import Catalogue, Item, ItemSet
from r4t_ray.catalogue.datasets.dishes import ingredient_id
from r4t_ray.catalogue.datasets.ingredients import clean_ingredient
from r4t_ray.catalogue.queries.made import oar_queries, oar_themes, set_split, staples, wscr_queries
from r4t_ray.catalogue.queries.splits import normalise_title, split_of
from r4t_ray.catalogue.queries.themes import NEUTRAL_TEMPLATES, make_themes


def titles_of(split: str, count: int) -> list[str]:
    return [title for title in (f"dish number{n}" for n in range(500)) if split_of(title) == split][:count]


def make_set(title: str, *item_ids: str) -> ItemSet:
    return ItemSet(set_id=title, title=title, description="", item_ids=item_ids)


def test_staples_are_counted_in_training_sets_only() -> None:
    train = [make_set(title, "rare", *(["half"] if n < 5 else [])) for n, title in enumerate(titles_of("train", 10))]
    held_out = [make_set(title, "half", "elsewhere") for title in titles_of("test", 30)]
    assert staples(train + held_out, 0.5) == {"rare"}
    assert staples(train + held_out, 0.49) == {"rare", "half"}
    assert "elsewhere" not in staples(train + held_out, 0.01)


def test_small_references_make_no_query() -> None:
    rows = [make_set("Soup  of the\tday", "a", "b", "c"), make_set("Two things", "a", "b")]
    catalogue = Catalogue(items=tuple(Item(item_id=key, text=key) for key in "abc"), sets=tuple(rows))
    assert [(query.text, query.item_ids) for query in wscr_queries(catalogue, frozenset(), 3)] == [
        ("Soup of the day", ("a", "b", "c"))
    ]
    assert len(wscr_queries(catalogue, frozenset(), 2)) == 2
    assert wscr_queries(catalogue, frozenset("c"), 3) == []


def test_hash_splits_are_eight_to_one_to_one_and_equal_titles_share_a_split() -> None:
    counts = Counter(split_of(f"title {n}") for n in range(5000))
    assert [round(counts[split] / 5000, 1) for split in ("train", "val", "test")] == [0.8, 0.1, 0.1]
    twins = ["Crème Brûlée", "creme brulee II", "CREME BRULEE (French)", "Creme, brulee!"]
    assert len({normalise_title(title) for title in twins}) == 1
    assert len({set_split(make_set(title)) for title in twins}) == 1
    assert set_split(ItemSet(set_id="x", title=twins[0], description="", item_ids=(), published_split="val")) == "val"


def test_themes_of_one_core_share_its_split() -> None:
    titles = [
        f"{word} soup" for word in ["lentil", "tomato", "lemon", "leek", "onion", "carrot", "potato", "mushroom"]
    ] + ["Beef pie"] * 7
    themes = make_themes(titles, ["Recipes for dessert"] * 8, templates=NEUTRAL_TEMPLATES)
    texts = {theme.text for theme in themes}
    assert {"soup", "simple soup", "dessert"} <= texts
    assert "pie" not in texts
    assert len(texts) == len(themes)
    for core in {theme.core for theme in themes}:
        assert len({theme.split for theme in themes if theme.core == core}) == 1


def catalogue_of_cores(splits: dict[str, int]) -> Catalogue:
    """Titles whose cores are "soup" of the training split and, for each split, a number of words before it."""
    assert split_of("soup") == "train"
    words = [f"{first}{second}o" for first in string.ascii_lowercase for second in string.ascii_lowercase]
    chosen = [
        word
        for split, count in splits.items()
        for word in [word for word in words if split_of(f"{word} soup") == split][:count]
    ]
    rows = tuple(make_set(f"{word} soup", "a") for word in chosen for _ in range(3))
    return Catalogue(items=(Item(item_id="a", text="a"),), sets=rows)


@pytest.mark.parametrize(
    ("hashed", "num_cores"),
    [
        ({"train": 9}, {"train": 8, "val": 1, "test": 1}),
        ({"train": 8}, {"train": 9}),
        ({"train": 7, "test": 2}, {"train": 7, "val": 1, "test": 2}),
        ({"train": 9, "val": 2, "test": 3}, {"train": 10, "val": 2, "test": 3}),
    ],
)
def test_a_held_out_split_of_ten_cores_is_not_empty(hashed: dict[str, int], num_cores: dict[str, int]) -> None:
    catalogue = catalogue_of_cores(hashed)
    themes = oar_themes(catalogue, NEUTRAL_TEMPLATES)
    split_of_core = {theme.core: theme.split for theme in themes}
    assert Counter(split_of_core.values()) == num_cores
    assert all(theme.split == split_of_core[theme.core] for theme in themes)
    moved = [core for core, split in split_of_core.items() if split != split_of(core)]
    assert len(moved) == sum(split not in hashed for split in num_cores)
    assert themes == oar_themes(replace(catalogue, sets=catalogue.sets[::-1]), NEUTRAL_TEMPLATES)


def test_in_a_small_catalogue_the_titles_are_the_queries() -> None:
    rows = (make_set("Red Things", "a"), make_set("red things II", "a"), make_set("Blue", "a"))
    queries = oar_queries(oar_themes(Catalogue(items=(Item(item_id="a", text="a"),), sets=rows), NEUTRAL_TEMPLATES))
    assert [query.text for query in queries] == ["Blue", "red things II"]
    assert [query.split for query in queries] == [split_of("blue"), split_of("red things")]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("1 ½ lemons, juiced", "lemons"),
        ("1 cup freshly grated Parmesan cheese", "parmesan cheese"),
        ("½ kg (1 lb) ground beef", "ground beef"),
        ("2 (14-ounce) cans chickpeas, drained", "chickpeas"),
        ("Salt to taste", "salt"),
        ("3-4 tbsp. olive oil", "olive oil"),
        ("4 cloves", None),
        ("200 g", None),
        ("", None),
    ],
)
def test_ingredient_lines(line: str, name: str | None) -> None:
    assert clean_ingredient(line) == name


def test_names_of_ingredients_in_other_scripts_are_kept_whole() -> None:
    for name in ("हल्दी", "घी", "茶", "ガラムマサラ", "чай"):
        assert clean_ingredient(f"2 {name}") == name
        assert ingredient_id(name) == name
    assert ingredient_id("Crème fraîche") == "creme-fraiche"


def test_cleaning_a_name_again_changes_nothing() -> None:
    names = ["parmesan cheese", "olive oil", "half-and-half", "ground beef", "crème fraîche"]
    assert [clean_ingredient(name) for name in names] == names
