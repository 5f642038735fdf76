"""The settings of every dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, Field, model_validator

from r4t_ray.catalogue.catalogue import Catalogue
from r4t_ray.catalogue.queries.logged import MadeQueries
from r4t_ray.catalogue.queries.themes import NEUTRAL_TEMPLATES, Templates
from r4t_ray.catalogue.records import VectorBatch, sha256_of_records
from r4t_ray.config import Settings


def one_gap(template: str) -> str:
    """Return a template. Raises ValueError unless it has exactly one {} and no other braces."""
    if template.count("{}") != 1 or set("{}") & set(template.replace("{}", "")):
        raise ValueError(f"the template '{template}' needs exactly one {{}}, as in 'simple {{}}'")
    return template


class DatasetSettings(Settings):
    """The settings of every dataset, and the methods that a dataset implements.

    A dataset may set ``own_templates`` to texts that fit its sets.
    """

    own_templates: ClassVar[Templates] = NEUTRAL_TEMPLATES

    staple_share: float = Field(
        0.03,
        gt=0,
        le=1,
        description="Items that occur in more than this share of the training sets, and in more than twice as many "
        "as the average item, are staples. They are left out of the reference sets of weakly supervised compositional "
        "retrieval (WSCR), unless that takes the reference of most sets. 1 leaves nothing out.",
    )
    min_reference: int = Field(
        3, ge=1, description="A set becomes a WSCR query if it has at least this many items that are not staples."
    )
    max_sets: int | None = Field(
        None,
        ge=1,
        description="Maximum number of sets. Only their items are kept. null keeps all sets and items. Set it to try "
        "a configuration quickly.",
    )
    templates: tuple[Annotated[str, AfterValidator(one_gap)], ...] | None = Field(
        None,
        min_length=1,
        description="Texts of the made-up queries of open-ended abstract retrieval (OAR), such as 'simple {}'. {} "
        "stands for a frequent word or category of the titles. null takes the texts of the dataset. For your own "
        "catalogue they are neutral; write how people ask for your sets.",
    )
    queries: Path | None = Field(
        None,
        description="A log of queries: a .parquet, .jsonl or .csv file, a folder of such parts, or a glob. Fields: "
        "text and, optionally, query_id, task (oar or wscr; both by default), item_ids and set_ids (the relevant "
        "entries) and split (train, val or test; by default the hash of the text decides).",
    )
    made_queries: MadeQueries = Field(
        "train",
        description="Queries made up from titles and templates beside the log of `queries`. train: they are for "
        "training; a held-out split holds only queries of the log if one there has relevant entries. all: they are in "
        "every split. none: the log alone. Without a log all made-up queries are used.",
    )

    expansions: Path | None = Field(
        None,
        description="Queries that entries answer (document expansion), in the forms of `queries`. A record has a text "
        "and a set_id, without sets an item_id. They move the vector of the entry (`encoder.expansion_weight`): "
        "people find it by what they want it for. `r4t write-expansions` has a language model write them.",
    )

    @model_validator(mode="after")
    def _has_queries(self) -> Self:
        if self.made_queries == "none" and self.queries is None:
            raise ValueError("made_queries: none leaves no query without a log; set catalogue.queries or another value")
        return self

    @property
    def has_sets(self) -> bool:
        """Whether people put the items together in sets. Without sets there is no WSCR query."""
        return True

    @property
    def theme_templates(self) -> Templates:
        """The ``templates`` of the settings; without them, the dataset's own."""
        return self.own_templates if self.templates is None else Templates(self.templates, self.templates)

    def sources(self) -> dict[str, str]:
        """Name -> sha256 of every file of the dataset. If one changes, the ingest stage runs again."""
        raise NotImplementedError

    def added_sources(self) -> dict[str, str]:
        """The same for the files of ``queries`` and ``expansions``, if named. Raises DataError if one is missing."""
        named = {"queries": self.queries, "expansions": self.expansions}
        return {name: sha256_of_records(path) for name, path in named.items() if path is not None}

    def vectors(self, kind: str) -> Iterator[VectorBatch]:
        """The vectors of the records of ``kind``, "items" or "sets", in their order; none by default."""
        return iter(())

    def read(self) -> Catalogue:
        """Read the inputs. Raises DataError with the file and line of a fault."""
        raise NotImplementedError
