"""Chinese, Japanese and Thai titles: shared parts make themes, and a text holds what it contains."""

from __future__ import annotations

import pytest

from r4t_ray.catalogue import ItemSet
from r4t_ray.catalogue.queries.relevance import relevant_sets
from r4t_ray.catalogue.queries.themes import NEUTRAL_TEMPLATES, make_themes
from r4t_ray.catalogue.queries.unspaced import frequent_parts, letters, phrase_parts

CATALOGUES = {
    "chinese": (["番茄", "牛肉", "豆腐"], ["炒饭", "面条", "汤羹"], ""),
    "japanese": (["ガラス", "陶器", "木製"], ["グラス", "お皿", "コップ"], "の"),
    "thai": (["ต้มยำ", "แกงเขียวหวาน", "ผัด"], ["กุ้ง", "ก๋วยเตี๋ยว", "หมู"], ""),
    "burmese": (["ထမင်း", "ခေါက်ဆွဲ"], ["ကြော်", "သုပ်"], ""),
}


@pytest.mark.parametrize("name", CATALOGUES)
def test_shared_parts_are_themes_that_find_their_sets(name: str) -> None:
    heads, tails, link = CATALOGUES[name]
    titles = [head + link + tail for head in heads for tail in tails] * 4
    themes = {theme.text: theme for theme in make_themes(titles, templates=NEUTRAL_TEMPLATES)}
    sets = [ItemSet(set_id=str(n), title=title, description="", item_ids=()) for n, title in enumerate(titles)]
    for word in (*heads, *tails):
        if len(letters(word)) > 1:
            assert themes[f"simple {word}"].core == themes[word].core
            (rows,) = relevant_sets([themes[word].core], sets)
            assert rows.tolist() == [n for n, title in enumerate(titles) if word in title]


def test_a_part_that_only_stands_in_a_longer_one_is_no_theme() -> None:
    assert frequent_parts(["红烧牛肉面"] * 3 + ["清蒸茄子"], least=3) == ["红烧牛肉面"]
    assert set(frequent_parts(["红烧牛肉面"] * 3 + ["红烧茄子"] * 3, least=3)) == {"红烧牛肉面", "红烧茄子", "红烧"}
    assert frequent_parts(["ガラスの器", "ガラスの皿"], least=2) == ["ガラス"]
    assert frequent_parts(["red soup"] * 9, least=2) == []


def test_no_part_begins_inside_a_character() -> None:
    found = phrase_parts("ก๋วยเตี๋ยว")
    assert found[0].startswith("ก๋ว")
    assert not [part for part in found if part[0] in "๋ี" or part[-1] in "เ"]


def test_words_of_other_scripts_in_a_phrase_are_found() -> None:
    sets = [ItemSet(set_id="0", title="LEDランプ", description="", item_ids=())]
    assert [len(rows) for rows in relevant_sets(["led", "ランプ", "ledランプ", "le", "ランフ"], sets)] == [
        1,
        1,
        1,
        0,
        0,
    ]
