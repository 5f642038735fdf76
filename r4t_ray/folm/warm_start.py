"""What the warm start teaches: lists of sub-queries built from the training sets."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_items, load_queries
from r4t_ray.encoders import load_embeddings
from r4t_ray.folm.answers import complete_list, rank_neighbour_items
from r4t_ray.folm.prompt import Example, format_answer
from r4t_ray.types import Task


def warm_start_examples(
    workspace: Workspace, k: int, passes: int, num_neighbours: int, render: Callable[[Task, str], str], seed: int
) -> list[Example]:
    """Answers that the training sets spell out, ``passes`` different ones for each training query.

    WSCR: the set's own reference items in random order, then the items that the most similar training sets hold. OAR: k
    titles drawn from the 2k training sets nearest to the theme.

    Args:
        workspace: Holds the finished ingest and embed stages.
        k: Sub-queries an answer.
        passes: Answers a query.
        num_neighbours: Training sets that vote on what completes a WSCR answer.
        render: (task, query) to prompt.
        seed: Decides the order and the draws.
    """
    rng = random.Random(seed)
    query_ids, query_emb_MD = load_embeddings(workspace, "queries")
    row_of = {name: row for row, name in enumerate(query_ids)}
    item_ids, item_emb_MD = load_embeddings(workspace, "items")
    text_of = {item.item_id: item.text for item in load_items(workspace)}
    emb_of = {text_of[name]: emb_D for name, emb_D in zip(item_ids, item_emb_MD, strict=True)}
    wscr = load_queries(workspace, "wscr", "train")
    oar = load_queries(workspace, "oar", "train")
    wscr_emb_MD = query_emb_MD[[row_of[query.query_id] for query in wscr]]
    names = [[text_of[item_id] for item_id in query.item_ids] for query in wscr]
    similar = rank_neighbour_items(wscr_emb_MD, names, wscr_emb_MD, num_neighbours, exclude_self=True)
    oar_emb_BD = query_emb_MD[[row_of[query.query_id] for query in oar]]
    nearest_BK = np.argsort(-(oar_emb_BD @ wscr_emb_MD.T), axis=1)[:, : 2 * k]
    examples = []
    for _ in range(passes):
        for query, own, others in zip(wscr, names, similar, strict=True):
            answer = complete_list(rng.sample(own, len(own)), others, k, emb_of)
            examples.append(Example(render("wscr", query.text), format_answer(answer)))
        for query, nearest_K in zip(oar, nearest_BK, strict=True):
            titles = dict.fromkeys(wscr[row].text.lower() for row in rng.sample(nearest_K.tolist(), len(nearest_K)))
            examples.append(Example(render("oar", query.text), format_answer(list(titles)[:k])))
    return examples
