"""Additional queries for WSCR (weakly supervised compositional retrieval), made by a chat model.

The model gets a pool: the items nearest to a training query. It picks a new set from the pool and writes a title for
the set. arXiv 2603.06397 augments its training queries in this way from pools of 50 items and does not print its
prompt. The engine constrains answers to ``<items>[3, 17]</items><query>...</query>``, so any chat model can be used.
The numbers are positions in the pool.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import ray
from pydantic import Field, PositiveFloat, PositiveInt

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query, load_items, load_queries
from r4t_ray.config import ModelReference, Resources, Settings
from r4t_ray.encoders import query_embeddings, resolve_model
from r4t_ray.errors import ConfigError, EngineError
from r4t_ray.files import whole_file
from r4t_ray.folm.policy.engines.factory import make_engine
from r4t_ray.folm.policy.engines.interface import EngineConfig, Sampling
from r4t_ray.folm.policy.tokens import prompt_tokens
from r4t_ray.index import load_index
from r4t_ray.pairs.actors import map_on_actors
from r4t_ray.pairs.files import query_seed

ANSWER = re.compile(r"<items>\[([\d, ]+)\]</items><query>([^<]+)</query>")
QUERY_CHARS = 100
INSTRUCTION = (
    "Below is a numbered list of items, picked for the wish: {wish}\n\n{items}\n\nChoose {least} to {most} of them "
    "that make up one good set, another one than that wish asks for, and write a short title for it. Answer with the "
    "numbers and the title alone, as <items>[3, 17]</items><query>title</query>."
)


class RecomposeConfig(Settings):
    """How a chat model makes additional WSCR queries."""

    num_queries: PositiveInt = Field(description="Queries to make. Answers that cannot be used are left out.")
    model: ModelReference | None = Field(
        None,
        description="Chat model: a folder, a name on the Hugging Face hub or `package:`. null takes the model that "
        "train-folm started from.",
    )
    pool_size: PositiveInt = Field(
        50, description="Items shown to the model: the nearest ones to a training query. The paper shows 50."
    )
    least_items: PositiveInt = Field(3, ge=2, description="Fewest items of a set.")
    most_items: PositiveInt = Field(12, description="Most items of a set.")
    temperature: PositiveFloat = Field(0.9, description="Sampling temperature of the chat model.")
    max_tokens: PositiveInt = Field(
        160, description="Most tokens of an answer. Raise it when answers are cut off before their title."
    )
    queries_per_batch: PositiveInt = Field(64, description="Queries that an actor generates in one call.")
    engine: EngineConfig = Field(
        EngineConfig(max_model_len=2048),
        description="Engine of the chat model. It has to be vLLM, because only vLLM constrains the form of answers.",
    )


class Recompose:
    """A Ray Data actor: a chat model that makes one query from each pool."""

    def __init__(self, config: RecomposeConfig, resources: Resources, model: str) -> None:
        from transformers import AutoTokenizer

        resolved = Path(resolve_model(model))
        self._config, self._tokenizer = config, AutoTokenizer.from_pretrained(resolved)
        if not self._tokenizer.chat_template:
            raise ConfigError(
                "pairs.recompose.model", f"{model}, whose tokenizer has no chat template", "a chat model",
                "name an instruction-tuned model, or leave pairs.recompose out",
            )  # fmt: skip
        # make_engine refuses an engine that cannot constrain the form of answers.
        self._engine = make_engine(resolved, config.engine.model_copy(update={"structured_output": True}), resources)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Return the row with ``answers``, one for each of its pools."""
        prompts = [
            recompose_prompt(self._tokenizer, wish, list(items), self._config)
            for wish, items in zip(row["wish"], row["items"], strict=True)
        ]
        sampling = Sampling(
            temperature=self._config.temperature,
            max_tokens=self._config.max_tokens,
            seed=tuple(int(seed) for seed in row["seed"]),
            regex=answer_form(self._config),
            logprobs=False,
        )
        answers = self._engine.generate(prompt_tokens(prompts, "chat", self._tokenizer), sampling)
        return {"number": row["number"], "answers": [samples[0].text for samples in answers]}


def recompose_prompt(tokenizer: Any, wish: str, items: Sequence[str], config: RecomposeConfig) -> str:
    """The prompt about one pool, in the chat template of the tokenizer."""
    listed = "\n".join(f"{number}. {text}" for number, text in enumerate(items, start=1))
    turn = INSTRUCTION.format(wish=wish, items=listed, least=config.least_items, most=config.most_items)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": turn}], tokenize=False, add_generation_prompt=True
    )
    return str(text)


def answer_form(config: RecomposeConfig) -> str:
    """The regular expression that an answer has to match.

    >>> form = answer_form(RecomposeConfig(num_queries=1, pool_size=9, least_items=2, most_items=3))
    >>> bool(re.fullmatch(form, "<items>[3, 9]</items><query>soup</query>"))
    True
    """
    number = r"[1-9]\d{0," + str(len(str(config.pool_size)) - 1) + "}"
    more = f"{{{config.least_items - 1},{config.most_items - 1}}}"
    query = r"[^<\s\x00-\x1f][^<\x00-\x1f]{1," + str(QUERY_CHARS - 1) + "}"
    return rf"<items>\[{number}(, {number}){more}\]</items><query>{query}</query>"


def parse_recomposed(answer: str, ids: Sequence[str], least: int) -> tuple[str, tuple[str, ...]] | None:
    """The query and the items of an answer; None when the form is wrong or there are too few distinct items.

    >>> parse_recomposed("<items>[2, 1, 2, 9]</items><query>two fruits</query>", ["apple", "pear"], 2)
    ('two fruits', ('pear', 'apple'))
    """
    found = ANSWER.search(answer)
    if found is None:
        return None
    numbers = dict.fromkeys(int(number) for number in re.findall(r"\d+", found[1]))
    items = tuple(ids[number - 1] for number in numbers if 1 <= number <= len(ids))
    text = " ".join(found[2].split())
    return (text, items) if text and len(items) >= least else None


def recomposed_queries(
    config: RecomposeConfig, actors: Resources, workspace: Workspace, folder: Path, seed: int
) -> list[Query]:
    """WSCR training queries with the sets that the model picked; read from ``folder`` if an earlier run made them.

    Raises:
        EngineError: No answer could be used.
    """
    path = folder / "recomposed.parquet"
    if not path.exists():
        made = _recompose(config, actors, workspace, seed)
        with whole_file(path) as partial:
            pq.write_table(pa.Table.from_pylist(made, schema=SCHEMA), partial)
    rows = pq.read_table(path).to_pylist()
    return [
        Query(query_id=row["query_id"], task="wscr", text=row["text"], item_ids=tuple(row["item_ids"]), split="train")
        for row in rows
    ]


SCHEMA = pa.schema([("query_id", pa.string()), ("text", pa.string()), ("item_ids", pa.list_(pa.string()))])


def _recompose(config: RecomposeConfig, actors: Resources, workspace: Workspace, seed: int) -> list[dict[str, Any]]:
    pools = _pools(config, workspace, seed)
    model = config.model or str(workspace.artifact("folm").path / "wscr" / "warm_start")
    size = config.queries_per_batch
    batches = [pools[start : start + size] for start in range(0, len(pools), size)]
    columns = [{name: [pool[name] for pool in batch] for name in batch[0]} for batch in batches]
    rows = ray.data.from_items(columns, override_num_blocks=len(columns))
    answered = map_on_actors(rows, Recompose, (config, actors, model), actors)
    answers = {n: text for row in answered.iter_rows() for n, text in zip(row["number"], row["answers"], strict=True)}
    made = []
    for pool in pools:
        parsed = parse_recomposed(answers[pool["number"]], pool["ids"], config.least_items)
        if parsed is not None:
            made.append({"query_id": f"wscr:recomposed:{pool['number']}", "text": parsed[0], "item_ids": parsed[1]})
    if not made:
        raise EngineError(
            "pairs.recompose", f"none of {len(pools)} answers could be used; the first is {answers[0][:200]!r}",
            "<items>[3, 17]</items><query>title</query>", "raise pairs.recompose.max_tokens, or name a larger model",
        )  # fmt: skip
    return made


def _pools(config: RecomposeConfig, workspace: Workspace, seed: int) -> list[dict[str, Any]]:
    """One row for each query to make: the text of a training query, the items nearest to it, and a seed."""
    index, queries = load_index(workspace, "wscr"), load_queries(workspace, "wscr", "train")
    text_of = {item.item_id: item.text for item in load_items(workspace)}
    _, rows_BK = index.search(query_embeddings(workspace)(queries), config.pool_size)
    pools = []
    for number in range(config.num_queries):
        query, rows_K = queries[number % len(queries)], rows_BK[number % len(queries)]
        pool = [index.ids[row] for row in rows_K.tolist()]
        own_seed = query_seed(f"recompose {number}", seed)
        items = [text_of[name] for name in pool]
        pools.append({"number": number, "wish": query.text, "items": items, "ids": pool, "seed": own_seed})
    return pools
