"""Answers to OAR (open-ended abstract retrieval): rewrites of the theme, picked by the reward of what they name.

An offline optimiser picks pool entries near the theme by greedy maximisation of the reward that is about the query.
Each entry becomes a rewrite of the theme (``rewrites``). Every answer draws its own half of the candidates and its own
gamma, so that the answers of a theme differ.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import Query, load_queries, load_sets, recombined_queries
from r4t_ray.catalogue.queries.themes import title_words
from r4t_ray.encoders import load_encoder, query_embeddings
from r4t_ray.folm.policy.prompt import PromptStyle, with_words
from r4t_ray.folm.specific import open_specific
from r4t_ray.folm.warm_start.rewrites import numbers_of, rewrite, subject_of
from r4t_ray.folm.warm_start.settings import WarmStartConfig
from r4t_ray.index import load_index
from r4t_ray.rewards import SpecificConfig
from r4t_ray.rewards.greedy import SPREAD, greedy_specific
from r4t_ray.types import Array

KEPT_SHARE = 0.5
"""Share of the candidates that one answer may use."""


def oar_answers(
    workspace: Workspace, config: WarmStartConfig, reward: SpecificConfig, *, k: int, style: PromptStyle, seed: int
) -> Iterator[tuple[str, list[str]]]:
    """Themes with at most k rewrites each, in alphabetical order.

    The order is fixed because a small model then need not learn one.

    Args:
        workspace: Holds the finished catalogue, encoder and index.
        config: The number of passes, of recombined themes and of candidates.
        reward: The reward that picks the entries.
        k: Most sub-queries of an answer.
        style: ``compact`` names the theme's words by their numbers; ``chat`` writes them out.
        seed: Seeds the candidates and the gamma of each answer, and the recombined themes.
    """
    pick, rng = RewriteTheme(workspace, config, reward, k), random.Random(seed)
    for theme, z_q_D in _asked(workspace, config, seed):
        rewrites = pick(theme, z_q_D, rng)
        if rewrites:
            yield theme.text, [text if style == "compact" else with_words(text, theme.text) for text in rewrites]


def _asked(workspace: Workspace, config: WarmStartConfig, seed: int) -> Iterator[tuple[Query, Array]]:
    """All training themes in each pass, then the recombined themes; each with its embedding."""
    themes = load_queries(workspace, "oar", "train")
    emb_ND = query_embeddings(workspace)(themes)
    for _ in range(config.num_passes.oar):
        yield from zip(themes, emb_ND, strict=True)
    count = config.num_recombined.oar
    new = recombined_queries(workspace, "oar", count, seed) if count else []
    if new:
        new_emb_ND = load_encoder(workspace.artifact("encoder").path / "model").encode([theme.text for theme in new])
        yield from zip(new, new_emb_ND, strict=True)


class RewriteTheme:
    """Picks the rewrites of a theme among the titles of its nearest entries."""

    def __init__(self, workspace: Workspace, config: WarmStartConfig, reward: SpecificConfig, k: int) -> None:
        self._reward, self._index, self._k = open_specific(workspace, reward), load_index(workspace, "oar"), k
        self._num_candidates = min(config.num_candidates, self._index.size)
        self._title_of = {each.set_id: each.title for each in load_sets(workspace)}

    def __call__(self, theme: Query, z_q_D: Array, rng: random.Random) -> list[str]:
        """At most k distinct rewrites in alphabetical order; none if the titles hold no words."""
        rows_M = self._index.search(z_q_D[None], self._num_candidates)[1][0]
        titles = [self._title_of[self._index.ids[row]] for row in rows_M.tolist()]
        numbers = numbers_of(theme.text)
        sharing = [m for m, title in enumerate(titles) if numbers.keys() & set(title_words(title))]
        kept = sharing if len(sharing) >= 2 * self._k else list(range(len(titles)))
        kept = sorted(rng.sample(kept, min(len(kept), max(self._k, round(KEPT_SHARE * len(kept))))))
        emb_MD = self._index.emb_MD[rows_M[kept]]
        near_M = self._reward.nearness(theme.query_id, z_q_D, emb_MD)
        gamma = self._reward.config.gamma * SPREAD ** rng.uniform(-1.0, 1.0)
        picks = greedy_specific(emb_MD, near_M, self._k, gamma)
        subject = subject_of(numbers, titles)
        return sorted({rewrite(titles[kept[pick]], numbers, subject) for pick in picks.tolist()} - {""})
