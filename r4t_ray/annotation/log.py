"""Writes the log in rounds. The file has the queries of every finished round, so a stopped run loses one round."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from r4t_ray.annotation.asking import Rounds
from r4t_ray.annotation.entries import Entries, open_entries
from r4t_ray.annotation.lines import LinesFile
from r4t_ray.annotation.log_prompts import Wish, fits_prompt, read_fits, read_wishes, wishes_prompt
from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue.queries.log import read_log
from r4t_ray.catalogue.queries.splits import normalise_title
from r4t_ray.endpoints.chat import ChatEndpoint

WISHES_PER_ROUND = 20
ENTRIES_SHOWN, EARLIER_SHOWN = 120, 60
"""Most entries, and most earlier wishes, in the prompt that asks for wishes."""
MAX_LIKENESS = 0.7
"""A wish that is nearer to an earlier one is left out. Else one of them may be trained on and the other one tested. On
this scale 0 is the mean cosine of two entries, which is high for some encoders, and 1 is a cosine of 1."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Order:
    """The order for a log.

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
class Written:
    """The state of the file, and the parts that this run left out of it.

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
        ConfigError: The endpoint refuses the key or does not know the model, or the file has another form.
        DataError: The file is there and is no log of this catalogue.
        MachineError: The endpoint does not answer, or its model does not write what it is asked for.
    """
    file, entries, rounds = LinesFile(order.out), open_entries(workspace), Rounds(endpoint)
    lines = read_log(order.out, entries.catalogue) if file.has_lines() else []
    texts, num_relevant = [line.text for line in lines], sum(len(line.set_ids or line.item_ids) for line in lines)
    left_out: Counter[str] = Counter()
    while len(texts) < order.num:
        wishes = _new_wishes(order, entries, texts, rounds, left_out)
        found = _with_fits(order, entries, wishes[: order.num - len(texts)], rounds, left_out)
        file.add([{"text": wish, "task": "oar", f"{entries.id_name}s": names} for wish, names in found.items()])
        texts += found
        num_relevant += sum(map(len, found.values()))
        _logger.info("write-log: %d of %d queries; left out: %s", len(texts), order.num, counted(left_out))
        rounds.end(len(found), counted(left_out), f"the {len(texts)} queries that {order.out} has")
    return Written(num_queries=len(texts), num_relevant=num_relevant, left_out=left_out)


def counted(left_out: Counter[str]) -> str:
    """The counts in one line."""
    return ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items())) or "none"


def _new_wishes(
    order: Order, entries: Entries, earlier: Sequence[str], rounds: Rounds, left_out: Counter[str]
) -> list[Wish]:
    """Wishes that are not like an earlier one."""
    draw = random.Random(f"{order.seed} {len(earlier)} {left_out.total()}")
    shown = draw.sample(entries.texts, min(ENTRIES_SHOWN, len(entries.texts)))
    before = draw.sample(earlier, min(EARLIER_SHOWN, len(earlier)))
    text = rounds.ask([wishes_prompt(order.about, shown, before, WISHES_PER_ROUND)])[0]
    wishes = read_wishes(text or "")
    if not wishes:
        left_out["replies without wishes"] += 1
    return _unlike(wishes, earlier, entries, left_out)


def _unlike(wishes: Sequence[Wish], earlier: Sequence[str], entries: Entries, left_out: Counter[str]) -> list[Wish]:
    """The wishes whose texts are neither equal nor near to an earlier one, or to another of these."""
    kept: list[Wish] = []
    texts, known_ND = {normalise_title(text) for text in earlier}, entries.encoder.encode(earlier)
    nearest = entries.mean_cosine + MAX_LIKENESS * (1 - entries.mean_cosine)
    for wish, z_D in zip(wishes, entries.encoder.encode([wish.text for wish in wishes]), strict=True):
        name = normalise_title(wish.text)
        if name in texts or (known_ND @ z_D > nearest).any():
            left_out["like an earlier one"] += 1
            continue
        kept.append(wish)
        texts.add(name)
        known_ND = np.concatenate([known_ND, z_D[None]])
    return kept


def _with_fits(
    order: Order, entries: Entries, wishes: Sequence[Wish], rounds: Rounds, left_out: Counter[str]
) -> dict[str, list[str]]:
    """Wish -> ids of the entries that fit it. Wishes without one are left out."""
    shortlists = [_shuffled(entries.shortlist(wish), f"{order.seed} {wish.text}") for wish in wishes]
    prompts = [
        fits_prompt(order.about, wish.text, [entries.texts[row] for row in rows])
        for wish, rows in zip(wishes, shortlists, strict=True)
    ]
    found = {}
    for wish, rows, text in zip(wishes, shortlists, rounds.ask(prompts), strict=True):
        fits = None if text is None else read_fits(text, len(rows))
        if fits:
            found[wish.text] = sorted(entries.index.ids[rows[place]] for place in fits)
        else:
            left_out["without a usable reply" if fits is None else "without a fitting entry"] += 1
    return found


def _shuffled(rows: Sequence[int], seed: str) -> list[int]:
    """The rows in another order, so that their order does not say how near they are."""
    return random.Random(seed).sample(rows, len(rows))
