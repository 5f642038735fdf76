"""The OAR (open-ended abstract retrieval) reward that is about the query, with the training queries of a workspace."""

from __future__ import annotations

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_queries
from r4t_ray.encoders import load_embeddings
from r4t_ray.rewards import OARRewardConfig, SpecificConfig, SpecificReward


def open_specific(workspace: Workspace, config: SpecificConfig) -> SpecificReward:
    """The reward with the training queries of the workspace as negatives."""
    train_ids = [query.query_id for query in load_queries(workspace, "oar", "train")]
    ids, emb_MD = load_embeddings(workspace, "queries")
    row_of = {name: row for row, name in enumerate(ids)}
    return SpecificReward(
        config=config, train_ids=train_ids, train_emb_ND=emb_MD[[row_of[query_id] for query_id in train_ids]]
    )


def specific_settings(reward: OARRewardConfig) -> SpecificConfig:
    """The settings of the reward that is searched offline: the run's own, or the defaults for a reward of another type.

    Back-translation is too slow for a search, and eq. 1 of arXiv 2603.06397 has a constant answer among its best.
    """
    return reward if isinstance(reward, SpecificConfig) else SpecificConfig()
