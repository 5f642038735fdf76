"""Writes the log in rounds. Each round ends with a whole file, so a stopped run loses one round and is continued."""

from __future__ import annotations

import json
import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Catalogue
from r4t_ray.catalogue.queries.log import read_log
from r4t_ray.catalogue.queries.splits import normalise_title
from r4t_ray.endpoints.chat import ChatEndpoint
from r4t_ray.errors import ConfigError, MachineError
from r4t_ray.files import whole_file
from r4t_ray.log_writer.entries import Entries, open_entries
from r4t_ray.log_writer.prompts import Wish, fits_prompt, read_fits, read_wishes, wishes_prompt
from r4t_ray.types import Task

SUFFIXES = (".jsonl", ".ndjson")
WISHES_PER_ROUND = 20
ENTRIES_SHOWN, EARLIER_SHOWN = 120, 60
"""Most entries, and most earlier wishes, in the prompt that asks for wishes."""
MAX_COSINE = 0.8
"""A wish that is nearer to an earlier one is left out. Else one of them may be trained on and the other one tested."""
MAX_EMPTY_ROUNDS = 3
SHOWN_CHARS = 200

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be written.

    Attributes:
        out: The file. A file that this command wrote is continued.
        num: Queries that it shall have.
        about: What the catalogue is, such as "dishes for home cooks"; may be empty.
        seed: Decides which entries the model sees.
    """

    out: Path
    num: int
    about: str = ""
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record of the log: a query and its relevant sets, or in a catalogue without sets its relevant items."""

    text: str
    set_ids: list[str]
    item_ids: list[str]
    task: Task = "oar"

    def as_json(self) -> str:
        """The record in one line, without an empty list."""
        return json.dumps({name: value for name, value in asdict(self).items() if value}, ensure_ascii=False)


@dataclass(frozen=True, kw_only=True)
class Written:
    """What the file holds, and what was left out of it in this run.

    Attributes:
        num_queries: Queries in the file.
        num_relevant: Their relevant entries in all.
        left_out: Reason -> wishes that were left out.
    """

    num_queries: int
    num_relevant: int
    left_out: Counter[str] = field(default_factory=Counter)


def write_log(order: Order, workspace: Workspace, endpoint: ChatEndpoint) -> Written:
    """Write a log of queries with their relevant entries.

    Args:
        order: What is to be written.
        workspace: A workspace with ``catalogue``, ``encoder`` and ``index``. It is not changed.
        endpoint: The language model. It is sent titles and items of the catalogue.

    Raises:
        ArtifactError: A stage is missing or was changed.
        ConfigError: The endpoint refuses the key or does not know the model.
        DataError: The file is there and is no log of this catalogue.
        MachineError: The endpoint does not answer, or its model does not write what it is asked for.
    """
    log, entries = LogFile(order.out), open_entries(workspace)
    log.read(entries.catalogue)
    left_out: Counter[str] = Counter()
    num_empty = 0
    while len(log.texts) < order.num:
        wishes = _new_wishes(order, entries, log.texts, endpoint, left_out)
        found = _with_fits(order, entries, wishes[: order.num - len(log.texts)], endpoint, left_out)
        log.add(found)
        num_empty = 0 if found else num_empty + 1
        _logger.info("write-log: %d of %d queries; left out: %s", len(log.texts), order.num, in_words(left_out))
        if num_empty == MAX_EMPTY_ROUNDS:
            raise MachineError(
                f"{endpoint.model} at {endpoint.base_url}",
                f"{num_empty} rounds without a new query ({in_words(left_out)})",
                "new wishes and the numbers of what fits them, as JSON",
                f"take a larger model, or stop at the {len(log.texts)} queries that {order.out} has",
            )
    return Written(num_queries=len(log.texts), num_relevant=log.num_relevant, left_out=left_out)


class LogFile:
    """The file. Its lines stay as they are, so a person may edit them between two runs."""

    def __init__(self, path: Path) -> None:
        if path.suffix not in SUFFIXES:
            raise ConfigError("--out", str(path), f"a name that ends in {' or '.join(SUFFIXES)}", "name another file")
        self._path, self._written = path, ""
        self.texts: list[str] = []
        self.num_relevant = 0

    def read(self, catalogue: Catalogue) -> None:
        """Read the file, if it is there and not empty; raises DataError if it is no log of the catalogue."""
        if not self._path.exists() or not self._path.stat().st_size:
            return
        lines = read_log(self._path, catalogue)
        self._written = f"{self._path.read_text(encoding='utf-8').rstrip()}\n"
        self.texts = [line.text for line in lines]
        self.num_relevant = sum(len(line.set_ids or line.item_ids) for line in lines)

    def add(self, records: Sequence[Record]) -> None:
        """Add records at the end. The file is replaced as a whole."""
        if not records:
            return
        self._written += "".join(f"{record.as_json()}\n" for record in records)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(self._path) as partial:
            partial.write_text(self._written, encoding="utf-8")
        self.texts += [record.text for record in records]
        self.num_relevant += sum(len(record.set_ids or record.item_ids) for record in records)


def in_words(left_out: Counter[str]) -> str:
    """The counts in one line."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items())) or "none"


def _new_wishes(
    order: Order, entries: Entries, earlier: Sequence[str], endpoint: ChatEndpoint, left_out: Counter[str]
) -> list[Wish]:
    """Wishes that are not like an earlier one."""
    draw = random.Random(f"{order.seed} {len(earlier)} {left_out.total()}")
    shown = draw.sample(entries.texts, min(ENTRIES_SHOWN, len(entries.texts)))
    before = draw.sample(earlier, min(EARLIER_SHOWN, len(earlier)))
    text = _asked(endpoint, [wishes_prompt(order.about, shown, before, WISHES_PER_ROUND)])[0]
    wishes = read_wishes(text or "")
    if not wishes:
        _logger.warning("write-log: no wishes in the reply %r", (text or "")[:SHOWN_CHARS])
        left_out["replies without wishes"] += 1
    return _unlike(wishes, earlier, entries, left_out)


def _unlike(wishes: Sequence[Wish], earlier: Sequence[str], entries: Entries, left_out: Counter[str]) -> list[Wish]:
    """The wishes whose texts are neither equal nor near to an earlier one, or to another of these."""
    kept: list[Wish] = []
    texts, known_ND = {normalise_title(text) for text in earlier}, entries.encoder.encode(earlier)
    for wish, z_D in zip(wishes, entries.encoder.encode([wish.text for wish in wishes]), strict=True):
        name = normalise_title(wish.text)
        if name in texts or (known_ND @ z_D > MAX_COSINE).any():
            left_out["like an earlier one"] += 1
            continue
        kept.append(wish)
        texts.add(name)
        known_ND = np.concatenate([known_ND, z_D[None]])
    return kept


def _with_fits(
    order: Order, entries: Entries, wishes: Sequence[Wish], endpoint: ChatEndpoint, left_out: Counter[str]
) -> list[Record]:
    """A record for each wish that has a fitting entry."""
    shortlists = [_shuffled(entries.shortlist(wish), f"{order.seed} {wish.text}") for wish in wishes]
    prompts = [
        fits_prompt(order.about, wish.text, [entries.texts[row] for row in rows])
        for wish, rows in zip(wishes, shortlists, strict=True)
    ]
    records = []
    for wish, rows, text in zip(wishes, shortlists, _asked(endpoint, prompts), strict=True):
        fits = None if text is None else read_fits(text, len(rows))
        if not fits:
            left_out["without a usable reply" if fits is None else "without a fitting entry"] += 1
            continue
        names = sorted(entries.index.ids[rows[place]] for place in fits)
        sets, items = (names, []) if entries.has_sets else ([], names)
        records.append(Record(text=wish.text, set_ids=sets, item_ids=items))
    return records


def _shuffled(rows: Sequence[int], seed: str) -> list[int]:
    """The rows in another order, so that their order does not say how near they are."""
    return random.Random(seed).sample(rows, len(rows))


def _asked(endpoint: ChatEndpoint, prompts: Sequence[str]) -> list[str | None]:
    """The texts of the replies; raises MachineError if no call of the batch had one."""
    replies = endpoint.ask(prompts)
    if replies and all(reply.text is None for reply in replies):
        raise MachineError(
            f"endpoint {endpoint.base_url}",
            f"{replies[0].fault}, after {endpoint.max_retries + 1} tries",
            f"replies of {endpoint.model!r}",
            "start the endpoint, correct --url, or raise --timeout-s; then run the command again, and it continues",
        )
    return [reply.text for reply in replies]
