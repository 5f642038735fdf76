"""Recomposed queries: the form of answers, and the whole step with the shipped model and a chat template."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_queries
from r4t_ray.config import Resources
from r4t_ray.encoders import load_embeddings, resolve_model
from r4t_ray.errors import ConfigError
from r4t_ray.folm.policy.engines.interface import EngineConfig
from r4t_ray.index import load_index
from r4t_ray.pairs.recompose import (
    Recompose,
    RecomposeConfig,
    answer_form,
    parse_recomposed,
    recompose_prompt,
    recomposed_queries,
)

CONFIG = RecomposeConfig(
    num_queries=12,
    pool_size=8,
    least_items=2,
    most_items=4,
    queries_per_batch=5,
    engine=EngineConfig(max_model_len=512, max_num_seqs=8),
)
IDS = [f"i{number}" for number in range(1, 13)]


def test_numbers_are_pool_positions_without_repeats() -> None:
    answer = "<think>fish</think> <items>[2, 12, 2, 13]</items><query> a  fish\nsupper </query>"
    assert parse_recomposed(answer, IDS, 2) == ("a fish supper", ("i2", "i12"))
    assert parse_recomposed(answer, IDS, 3) is None
    assert parse_recomposed("<items>[1, 2]</items>", IDS, 2) is None
    assert parse_recomposed("<items>[1, 2]</items><query> </query>", IDS, 2) is None


@pytest.mark.parametrize("numbers", ["1", "1, 2, 3, 4, 5", "0, 1", "123, 4", "1,2", ""])
def test_the_form_refuses_too_few_too_many_and_no_numbers(numbers: str) -> None:
    assert not re.fullmatch(answer_form(CONFIG), f"<items>[{numbers}]</items><query>soup</query>")
    assert re.fullmatch(answer_form(CONFIG), "<items>[1, 8]</items><query>soup</query>")


@pytest.fixture(scope="module")
def chat_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("chat") / "model"
    shutil.copytree(resolve_model("package:r4t_ray/folm/base_model"), folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = "{% for message in messages %}{{ message.content }}{% endfor %} "
    tokenizer.save_pretrained(folder)
    return folder


def test_the_prompt_lists_the_pool(chat_model: Path) -> None:
    prompt = recompose_prompt(AutoTokenizer.from_pretrained(chat_model), "fish pie", ["cod", "leek"], CONFIG)
    assert "picked for the wish: fish pie" in prompt
    assert "1. cod\n2. leek" in prompt
    assert "Choose 2 to 4" in prompt


def test_a_model_without_a_chat_template_is_refused() -> None:
    with pytest.raises(ConfigError, match="no chat template"):
        Recompose(CONFIG, Resources(), "package:r4t_ray/folm/base_model")


def test_the_model_is_on_the_actors_that_are_named(
    ray_session: str, indexed_workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class AskedError(Exception):
        """Raised in place of the run."""

    def asked(rows: Any, holder: type[Any], arguments: tuple[Any, ...], actors: Resources) -> None:
        raise AskedError(actors, holder, *arguments)

    monkeypatch.setattr("r4t_ray.pairs.recompose.map_on_actors", asked)
    actors = Resources(num=2, cpus=1.5)
    config = CONFIG.model_copy(update={"model": "a chat model"})
    with pytest.raises(AskedError) as caught:
        recomposed_queries(config, actors, indexed_workspace, tmp_path, seed=0)
    assert caught.value.args == (actors, Recompose, config, Resources(num=2, cpus=1.5), "a chat model")


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_new_sets_come_from_the_pool_and_are_made_once(
    ray_session: str, indexed_workspace: Workspace, chat_model: Path, tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"model": str(chat_model)})
    actors = Resources(num=1, cpus=1.0)
    made = recomposed_queries(config, actors, indexed_workspace, tmp_path, seed=0)
    assert len(made) >= 6
    # The pool of the n-th new query is the items nearest to the n-th training query; training queries repeat in order.
    index, queries = load_index(indexed_workspace, "wscr"), load_queries(indexed_workspace, "wscr", "train")
    ids, emb_MD = load_embeddings(indexed_workspace, "queries")
    for query in made:
        wish = queries[int(query.query_id.rsplit(":", 1)[1]) % len(queries)]
        _, rows_1K = index.search(emb_MD[[ids.index(wish.query_id)]], config.pool_size)
        assert set(query.item_ids) <= {index.ids[row] for row in rows_1K[0]}
        assert 2 <= len(query.item_ids) <= 4
    assert all(query.text and query.split == "train" and query.task == "wscr" for query in made)
    assert not {query.query_id for query in made} & {query.query_id for query in load_queries(indexed_workspace)}
    before = (tmp_path / "recomposed.parquet").read_bytes()
    elsewhere = config.model_copy(update={"model": "nowhere"})
    assert recomposed_queries(elsewhere, actors, indexed_workspace, tmp_path, seed=0) == made
    (tmp_path / "recomposed.parquet").unlink()
    assert recomposed_queries(config, actors, indexed_workspace, tmp_path, seed=0) == made
    assert (tmp_path / "recomposed.parquet").read_bytes() == before
