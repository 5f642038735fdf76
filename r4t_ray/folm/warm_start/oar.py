"""Answers to OAR (open-ended abstract retrieval): rewrites of the theme, picked by the reward of what they name.

An offline optimiser picks pool entries near the theme by greedy maximisation of the reward that is about the query.
Each entry becomes a rewrite of the theme: the theme's words that it shares, and up to three others. Every answer draws
its own half of the candidates and its own gamma, so that the answers of a theme differ.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query, load_queries, load_sets, recombined_queries
from r4t_ray.encoders import load_embeddings, load_encoder
from r4t_ray.folm.policy.prompt import PromptStyle, with_words
from r4t_ray.folm.specific import open_specific
from r4t_ray.folm.warm_start.rewrites import rewrite
from r4t_ray.folm.warm_start.settings import WarmStartConfig
from r4t_ray.index import load_index
from r4t_ray.rewards import SpecificConfig
from r4t_ray.rewards.greedy import greedy_specific
from r4t_ray.types import Array

KEPT_SHARE = 0.5
"""Share of the candidates that one answer may use."""
SPREAD = 2.0
"""Most that an answer's gamma differs from the reward's, as a factor."""


def oar_answers(
    workspace: Workspace, config: WarmStartConfig, reward: SpecificConfig, *, k: int, style: PromptStyle, seed: int
) -> Iterator[tuple[str, list[str]]]:
    """Themes with at most k rewrites each, in the order of picking.

    Args:
        workspace: Holds the finished catalogue, encoder and index.
        config: The number of passes, of recombined themes and of candidates.
        reward: The reward that picks the entries.
        k: Most sub-queries of an answer.
        style: ``compact`` names the theme's words by their numbers; ``chat`` writes them out.
        seed: Seeds the candidates and the gamma of each answer, and the recombined themes.
    """
    pick = _picker(workspace, config, reward, k)
    rng = random.Random(seed)
    themes = load_queries(workspace, "oar", "train")
    ids, emb_MD = load_embeddings(workspace, "queries")
    row_of = {name: row for row, name in enumerate(ids)}
    asked = [(theme, emb_MD[row_of[theme.query_id]]) for theme in themes] * config.num_passes.oar
    new = recombined_queries(workspace, "oar", config.num_recombined.oar, seed)
    if new:
        new_emb_ND = load_encoder(workspace.artifact("encoder").path / "model").encode([theme.text for theme in new])
        asked += list(zip(new, new_emb_ND, strict=True))
    for theme, z_q_D in asked:
        rewrites = dict.fromkeys(filter(None, (rewrite(theme.text, title) for title in pick(theme, z_q_D, rng))))
        if rewrites:
            yield theme.text, [text if style == "compact" else with_words(text, theme.text) for text in rewrites]


def _picker(
    workspace: Workspace, config: WarmStartConfig, reward: SpecificConfig, k: int
) -> Callable[[Query, Array, random.Random], Sequence[str]]:
    """A function that picks the titles of one answer."""
    specific, index = open_specific(workspace, reward), load_index(workspace, "oar")
    title_of = {each.set_id: each.title for each in load_sets(workspace)}

    def pick(theme: Query, z_q_D: Array, rng: random.Random) -> list[str]:
        rows_M = index.search(z_q_D[None], min(config.num_candidates, index.size))[1][0]
        num_kept = min(max(k, round(KEPT_SHARE * len(rows_M))), len(rows_M))
        kept_M = rows_M[sorted(rng.sample(range(len(rows_M)), num_kept))]
        near_M = specific.nearness(theme.query_id, z_q_D, index.emb_MD[kept_M])
        gamma = reward.gamma * SPREAD ** rng.uniform(-1.0, 1.0)
        picks = greedy_specific(index.emb_MD[kept_M], near_M, k, gamma)
        return [title_of[index.ids[row]] for row in kept_M[np.asarray(picks)].tolist()]

    return pick
