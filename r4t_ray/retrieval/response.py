"""The answer to a request, and the JSON form of every error over HTTP."""

from __future__ import annotations

from io import StringIO
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from r4t_ray.diffusion import SolverName
from r4t_ray.errors import R4TError
from r4t_ray.types import Task

SCORES: dict[Task, str] = {"oar": "cosine", "wscr": "score"}
"""What the number beside an item is, in a printed answer."""
PRINTED_ITEMS = 3
"""Items per direction that ``print(answer)`` shows."""
GENERATION = Field(0, description="Generation of the live changes that the answer has. Another number is a swap.")
MAX_ERROR_CHARS = 1_000
"""Characters of each part of an error over HTTP."""


class Message(BaseModel):
    """Base of the request, the answer and the error: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Item(Message):
    """An item (or collection) of the catalogue."""

    id: str = Field(description="Id in the catalogue.")
    text: str = Field(description="Text of the item, or title of the collection.")
    score: float = Field(
        description="oar: the cosine between the item and the direction. wscr: the score of the item decoder."
    )
    payload: dict[str, Any] | None = Field(
        None,
        exclude_if=lambda payload: payload is None,
        description="With `with_payload`: the attributes of the item, or the items of the collection with theirs.",
    )


class Direction(Message):
    """One generated direction and its nearest items."""

    index: int = Field(description="Position among the kept directions, 0 to k-1.")
    label: str | None = Field(
        None,
        description="Its text, or the frequent sub-query or entry nearest to it. Null if the pairs kept none.",
    )
    groundedness: float | None = Field(
        description="1 minus the Euclidean distance to the nearest entry that the request allows: 1 if the direction "
        "is an entry. Null if no entry is allowed."
    )
    weight: float = Field(description="Its share of softmax(score) over the items of the answer that stand under it.")
    items: list[Item] = Field(description="Its items, best first.")


class MergedItem(Item):
    """An item of the merged set; ``score`` is the best over the directions that list it."""

    direction: int = Field(description="Index of the direction under which it stands, where its score comes from.")
    directions: list[int] = Field(description="Indices of all directions that list it.")
    rank: int = Field(description="Position in the ranking, 1 for the best. It counts the items before `offset`.")


class FanoutDirection(Message):
    """One generated direction."""

    index: int = Field(description="Position among the kept directions.")
    label: str | None = Field(description="Its name, or null if there are no labels.")
    groundedness: float | None = Field(description="1 minus the distance to the nearest entry that may be found.")
    vector: list[float] = Field(description="The direction, a unit vector.")


class SetMetrics(Message):
    """Measures of the whole answer, as in the tables of `r4t evaluate`."""

    vendi: float = Field(
        description="Vendi score of the directions' first items (method none and mmr: of the first k items), divided "
        "by their number: 1 if all are orthogonal."
    )
    groundedness: float = Field(description="Mean of the directions' groundedness.")
    alignment: float = Field(description="Mean cosine between the directions and the query.")


class Shards(Message):
    """The index shards that were asked."""

    ok: int = Field(description="Shards that answered.")
    total: int = Field(description="Shards that were asked.")


class ModelInfo(Message):
    """The models that answered: sha256 prefixes of the artifacts, and the sampler."""

    encoder: str = Field(description="sha256 prefix of the encoder and its embeddings.")
    index: str = Field(description="sha256 prefix of the index.")
    diffusion: str = Field(description="sha256 prefix of the diffusion retrievers.")
    decoder: str | None = Field(None, description="sha256 prefix of the item decoder of wscr; null for oar.")
    new_entries: str | None = Field(None, description="sha256 prefix of the new entries of `r4t add`, or null.")
    num_new_entries: int = Field(
        0, description="Number of new entries of `r4t add`. They are searched beside the index."
    )
    num_rows: int = Field(description="Most directions that the model generates: the upper bound of k.")
    solver: SolverName = Field(description="Solver that sampled the directions.")
    num_steps: int = Field(description="Steps of the solver.")
    guidance: float = Field(description="Classifier-free guidance strength. The guidance of a request replaces it.")


class RetrieveResponse(Message):
    """k directions and the union of their items. ``print(answer)`` shows a small table."""

    request_id: str | None = Field(None, description="Id of the request, also in X-Request-ID and the server's log.")
    task: Task = Field(description="The task that answered.")
    query: str | None = Field(description="The query, without surrounding white space.")
    seed: int = Field(description="The seed of the request.")
    directions: list[Direction] = Field(description="The kept directions, in the order in which they were chosen.")
    items: list[MergedItem] = Field(
        description="The union of the directions' items, highest score first. With method mmr in the order of picks."
    )
    set_metrics: SetMetrics = Field(description="Diversity, groundedness and alignment of the answer.")
    partial: bool = Field(False, description="Whether a shard did not answer, so that items may be missing.")
    shards: Shards = Field(Shards(ok=0, total=0), description="The index shards that were asked.")
    timings_ms: dict[str, float] = Field(
        default_factory=dict,
        description="Milliseconds by stage. encode and generate are those of the whole batch, wait is the time in "
        "queues and transport, search is all lookups, rest is everything else, total is the sum.",
    )
    model: ModelInfo = Field(description="The models that answered.")
    generation: int = GENERATION
    sequence: int = Field(0, description="Number of the last live change that the answer has.")

    def __str__(self) -> str:
        return self.table(PRINTED_ITEMS)

    def table(self, num_items: int | None = None) -> str:
        """A table of the directions with their items, as wide as the terminal.

        Args:
            num_items: Items per direction to show; None shows all.
        """
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table("direction", f"items ({SCORES[self.task]})", title=Text(self.query or ""), show_lines=True)
        for direction in self.directions:
            items = "\n".join(f"{item.text} ({item.score:.2f})" for item in direction.items[:num_items])
            name = f"{direction.index + 1}" if direction.label is None else f"{direction.index + 1} {direction.label}"
            table.add_row(Text(name), Text(items))
        console = Console(file=StringIO(), highlight=False)
        console.print(table)
        console.print(f"{len(self.items)} distinct items in {len(self.directions)} directions, task {self.task}")
        assert isinstance(console.file, StringIO)
        return console.file.getvalue().rstrip("\n")


class ChangeResponse(Message):
    """A change that is on the disk. Every request that begins after it sees it."""

    request_id: str
    changed: int = Field(description="Entries that were added, replaced or deleted.")
    unknown: list[str] = Field(description="Ids of a deletion that no entry has.")
    generation: int = GENERATION
    sequence: int = Field(description="Number of the last change.")


class ErrorBody(Message):
    """Where the fault lies, the value found there, the values accepted, and the next step."""

    where: str
    got: str
    expected: str
    fix: str


class ErrorResponse(Message):
    """The body of every reply that is not 2xx."""

    error: ErrorBody
    request_id: str | None = Field(None, description="Id of the request, also in X-Request-ID and in the server's log.")


def error_response(where: str, got: str, expected: str, fix: str) -> dict[str, Any]:
    """The JSON body of an error. Long parts are cut. It is valid UTF-8 even if the request held lone surrogates."""
    fields = {"where": where, "got": got, "expected": expected, "fix": fix}
    parts = {name: text[:MAX_ERROR_CHARS] + "..." * (len(text) > MAX_ERROR_CHARS) for name, text in fields.items()}
    return {"error": {name: text.encode("utf-8", "backslashreplace").decode() for name, text in parts.items()}}


def error_of(error: R4TError) -> dict[str, Any]:
    """The JSON body of an R4TError."""
    return error_response(error.where, error.got, error.expected, error.fix)
