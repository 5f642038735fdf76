"""The entries that are shown to the language model, and the ones that may fit a wish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from r4t_ray.annotation.log_prompts import Wish
from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Catalogue, load_items, load_sets
from r4t_ray.catalogue.catalogue import are_items
from r4t_ray.catalogue.expansions import id_name
from r4t_ray.encoders import CachedEncoder, load_encoder, set_text
from r4t_ray.index import ShardedIndex, load_index

STAGES = ("catalogue", "encoder", "index")
NUM_CANDIDATES = 80
"""Entries of a shortlist."""
MAX_CHARS = 160
"""Longest entry in a prompt."""
ITEMS_SHOWN = 6
"""Items of a set in a prompt: titles of outfits and playlists alone often say little."""


@dataclass(frozen=True, kw_only=True)
class Entries:
    """The pool of OAR (open-ended abstract retrieval) in words.

    Attributes:
        catalogue: Its items and sets.
        id_name: The field of a record that names an entry: set_id, or item_id where each item is a set.
        texts: The text of each entry, in the row order of the index.
        index: Finds the entries near to a vector.
        encoder: Embeds wishes and titles.
    """

    catalogue: Catalogue
    id_name: str
    texts: list[str]
    index: ShardedIndex
    encoder: CachedEncoder

    @property
    def mean_cosine(self) -> float:
        """The mean cosine of two entries: the squared length of the mean of their unit vectors."""
        return float(np.square(self.index.emb_MD.mean(axis=0)).sum())

    def shortlist(self, wish: Wish) -> list[int]:
        """Rows of up to NUM_CANDIDATES entries: half are nearest to the wish, the others to its titles in turn."""
        q_BD = self.encoder.encode([wish.text, *wish.titles])
        _, rows_BK = self.index.search(q_BD, min(NUM_CANDIDATES, self.index.size))
        own, of_titles = rows_BK[0].tolist(), rows_BK[1:].T.ravel().tolist()
        half = NUM_CANDIDATES // 2 if wish.titles else NUM_CANDIDATES
        return list(dict.fromkeys([*own[:half], *of_titles, *own[half:]]))[:NUM_CANDIDATES]


def open_entries(workspace: Workspace) -> Entries:
    """Read a workspace that has its catalogue, encoder and index; raises ArtifactError if it has not."""
    workspace.check_lineage(STAGES)
    index, catalogue = load_index(workspace, "oar"), load_catalogue(workspace)
    text_of = texts_by_id(catalogue)
    return Entries(
        catalogue=catalogue,
        id_name=id_name(not are_items(catalogue.sets)),
        texts=[text_of[name] for name in index.ids],
        index=index,
        encoder=CachedEncoder(load_encoder(workspace.root / "encoder" / "model")),
    )


def load_catalogue(workspace: Workspace) -> Catalogue:
    """All items and sets of a workspace."""
    return Catalogue(items=tuple(load_items(workspace)), sets=tuple(load_sets(workspace)))


def texts_by_id(catalogue: Catalogue) -> dict[str, str]:
    """Id of each set -> the text that a prompt shows of it, in the order of the catalogue."""
    text_of = {} if are_items(catalogue.sets) else {item.item_id: item.text for item in catalogue.items}
    return {
        row.set_id: entry_text(
            set_text(row.title, row.description), [text_of[name] for name in row.item_ids[:ITEMS_SHOWN] if text_of]
        )
        for row in catalogue.sets
    }


def entry_text(title: str, items: Sequence[str]) -> str:
    """One line of at most MAX_CHARS characters: the title, and items in brackets.

    >>> entry_text("beach  wedding", ["linen shirt", "sandals"])
    'beach wedding (linen shirt; sandals)'
    """
    line = " ".join((f"{title} ({'; '.join(items)})" if items else title).split())
    return line if len(line) <= MAX_CHARS else f"{line[: MAX_CHARS - 1]}…"
