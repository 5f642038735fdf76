"""Vectors that entries bring along: the check of their space, and ingest, embed and add with them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from r4t_ray import catalogue
from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import SetsConfig
from r4t_ray.encoders import Encoder, EncoderConfig, EndpointConfig, load_embeddings, load_encoder, run
from r4t_ray.encoders.embed import sample_given
from r4t_ray.encoders.encoder import fit_projection, project, second_moment
from r4t_ray.encoders.same_space import MAX_TEXTS, own_share, require_same_space, spread_rows
from r4t_ray.errors import DataError
from r4t_ray.new_entries import add, load_new_entries
from r4t_ray.pipeline import find_fault
from r4t_ray.types import Array

from .embeddings_server import WIDTH, Endpoint, serving, word_vectors

WORDS = ("red", "blue", "green", "white", "black", "tall", "small", "round")
TEXTS = [f"{WORDS[at % 8]} {WORDS[at // 8 % 8]} thing {at}" for at in range(40)]


class Words:
    """A model in this process."""

    name = "encoder.model 'words'"

    def __init__(self, width: int = WIDTH) -> None:
        self._width = width

    def encode(self, texts: Sequence[str], kinds: Any = "query") -> Array:
        return word_vectors(texts, self._width)


def test_the_share_is_counted_by_hand() -> None:
    given_ND = np.array([[1, 0], [0, 1], [0.6, 0.8]], np.float32)
    assert own_share(given_ND, given_ND) == 1.0
    # The cosines of the texts are (0, 1, 0.6), (1, 0, 0.8) and (0.8, 0.6, 1), the own one at the same place.
    assert own_share(given_ND, given_ND[[1, 0, 2]]) == pytest.approx((0 + 0 + 2) / 6)
    assert own_share(given_ND, np.tile(given_ND[:1], (3, 1))) == 0.5


def test_spread_rows_reach_from_the_first_to_the_last() -> None:
    assert (spread_rows(1), spread_rows(5)) == ([0], [0, 1, 2, 3, 4])
    rows = spread_rows(10_000)
    assert (len(rows), len(set(rows)), rows[0], rows[-1]) == (MAX_TEXTS, MAX_TEXTS, 0, 9_999)


def test_vectors_of_the_model_pass_and_others_do_not() -> None:
    """The spaces of 20 other models, and the right vectors in a wrong order."""
    model = Words()
    require_same_space(model, TEXTS, word_vectors(TEXTS), "here")
    noise_ND = np.random.default_rng(0).normal(size=(40, WIDTH)).astype(np.float32) / WIDTH**0.5
    require_same_space(model, TEXTS, word_vectors(TEXTS) + 1.5 * noise_ND, "here")
    others = [word_vectors(TEXTS, model=f"other {at}") for at in range(20)]
    for given_ND in (*others, np.roll(word_vectors(TEXTS), 5, axis=0)):
        with pytest.raises(
            DataError, match=r"here: got vectors that encoder\.model 'words' does not give: of 40 entries"
        ):
            require_same_space(model, TEXTS, given_ND, "here")


def test_few_or_equal_texts_say_nothing_and_the_width_always_does() -> None:
    other_ND = word_vectors(TEXTS, model="other")
    require_same_space(Words(), TEXTS[:15], other_ND[:15], "here")
    require_same_space(Words(), ["thing"] * 40, other_ND, "here")
    with pytest.raises(DataError, match=r"width 7; expected width 24, as encoder\.model 'words' gives; name the model"):
        require_same_space(Words(), TEXTS[:1], word_vectors(TEXTS[:1], 7), "here")


def test_given_vectors_are_projected_and_checked() -> None:
    native_ND = word_vectors(TEXTS)
    encoder = Encoder(Words(), fit_projection(second_moment(native_ND), 8))
    assert np.array_equal(encoder.project_given(native_ND, TEXTS, "here"), encoder.encode(TEXTS, "document"))
    other_ND = word_vectors(TEXTS, model="other")
    with pytest.raises(DataError, match="does not give"):
        encoder.project_given(other_ND, TEXTS, "here")
    unchecked = Encoder(Words(), fit_projection(second_moment(native_ND), 8), checks_vectors=False)
    assert unchecked.project_given(other_ND, TEXTS, "here").shape == (40, 8)
    with pytest.raises(DataError, match="width 7; expected width 24"):
        unchecked.project_given(word_vectors(TEXTS, 7), TEXTS, "here")


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with serving() as endpoint:
        yield endpoint


def write_toy(folder: Path, items_MD: Array | None, name: str = "items.jsonl", first: int = 0) -> Path:
    """Items with the texts and, if they are given, these vectors."""
    rows: list[dict[str, Any]] = [{"item_id": f"i{at + first}", "text": text} for at, text in enumerate(TEXTS)]
    if items_MD is not None:
        rows = [row | {"embedding": vector.tolist()} for row, vector in zip(rows, items_MD, strict=True)]
    (folder / name).write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder / name


def ingest(folder: Path, items_MD: Array, *, has_sets: bool = True) -> Workspace:
    workspace = Workspace(folder / "workspace")
    rows = [{"set_id": f"s{at}", "title": f"set of {text}", "item_ids": [f"i{at}"]} for at, text in enumerate(TEXTS)]
    (folder / "sets.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    sets = folder / "sets.jsonl" if has_sets else None
    settings = SetsConfig(items=write_toy(folder, items_MD), sets=sets, min_reference=1, staple_share=1.0)
    catalogue.run(settings, workspace, seed=0)
    return workspace


def endpoint(server: Endpoint, **settings: Any) -> EndpointConfig:
    return EndpointConfig(type="endpoint", url=server.url, model="words", dim=8, batch_size=16, **settings)


def test_embed_takes_the_vectors_and_asks_the_endpoint_for_the_rest(
    ray_session: str, server: Endpoint, tmp_path: Path
) -> None:
    items_MD = 5 * word_vectors(TEXTS)
    workspace = ingest(tmp_path, items_MD)
    server.requests.clear()
    run(endpoint(server, document_prompt="passage "), workspace, seed=0)
    folder = workspace.artifact("encoder").path
    assert sorted(path.name for path in folder.iterdir()) == [
        "items.parquet", "manifest.json", "model", "queries.parquet", "sets.parquet",
    ]  # fmt: skip
    set_texts = [f"passage set of {text}" for text in TEXTS]
    asked = server.texts()
    assert asked[:40] == [f"passage {text}" for text in TEXTS]  # the check
    assert asked[40:80] == set_texts
    assert not any(text.startswith("passage") for text in asked[80:])
    moment_DD = second_moment(items_MD / 5) + second_moment(word_vectors(set_texts))
    projection_Dd = fit_projection(moment_DD, 8)
    ids, emb_MD = load_embeddings(workspace, "items")
    assert ids == [f"i{at}" for at in range(40)]
    assert np.abs(emb_MD - project(items_MD / 5, projection_Dd)).max() < 1e-5
    assert np.abs(load_embeddings(workspace, "sets")[1] - project(word_vectors(set_texts), projection_Dd)).max() < 1e-5
    ids, emb_BD = load_embeddings(workspace, "queries")
    assert np.abs(emb_BD - project(word_vectors(asked[80:]), projection_Dd)).max() < 1e-5

    other_MD = word_vectors(TEXTS, model="other")
    with pytest.raises(DataError, match="vectors of the new items: got vectors that"):
        add(workspace, items=write_toy(tmp_path, other_MD, "wrong.jsonl", first=100))
    server.requests.clear()
    add(workspace, items=write_toy(tmp_path, items_MD, "new.jsonl", first=100))
    assert len(server.texts()) == 40
    added = load_new_entries(workspace, "wscr")
    assert added is not None
    assert (added.ids[0], added.texts) == ("i100", TEXTS)
    assert np.abs(added.emb_MD - emb_MD).max() < 1e-5
    add(workspace, items=write_toy(tmp_path, None, "texts.jsonl", first=100))
    encoded = load_new_entries(workspace, "wscr")
    assert encoded is not None
    assert np.array_equal(encoded.emb_MD, load_encoder(folder / "model").encode(TEXTS, "document"))


def test_vectors_of_another_model_are_refused_by_embed(ray_session: str, server: Endpoint, tmp_path: Path) -> None:
    workspace = ingest(tmp_path, word_vectors(TEXTS, model="other"), has_sets=False)
    with pytest.raises(Exception, match="does not give") as caught:
        run(endpoint(server), workspace, seed=0)
    fault = find_fault(caught.value)
    assert isinstance(fault, DataError)
    assert fault.where == "vectors of items"
    assert "name the model that made the vectors as encoder.model" in fault.fix
    assert not (workspace.root / "encoder").exists()
    run(endpoint(server, check_vectors=False), workspace, seed=0)
    assert np.array_equal(load_embeddings(workspace, "items")[1], load_embeddings(workspace, "sets")[1])
    workspace = ingest(tmp_path, word_vectors(TEXTS, 7), has_sets=False)
    with pytest.raises(Exception, match=r"width 7; expected width 24, as encoder\.model 'words' gives"):
        run(endpoint(server, check_vectors=False), workspace, seed=0)


@pytest.mark.slow
def test_a_model_of_this_machine_fits_its_own_vectors(ray_session: str, tmp_path: Path) -> None:
    native_MD = EncoderConfig().build().encode(TEXTS, "document")
    workspace = ingest(tmp_path, native_MD, has_sets=False)
    run(EncoderConfig(dim=16, runtime="torch"), workspace, seed=0)
    encoder = load_encoder(workspace.artifact("encoder").path / "model")
    assert np.abs(load_embeddings(workspace, "items")[1] - encoder.encode(TEXTS, "document")).max() < 1e-5
    texts, emb_ND = sample_given(workspace.root / "catalogue", "items")
    assert texts == TEXTS
    assert np.abs(emb_ND - native_MD).max() < 1e-6
