"""The OAR (open-ended abstract retrieval) reward that is about the query, with the training queries of a workspace."""

from __future__ import annotations

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import load_queries
from r4t_ray.encoders import query_embeddings
from r4t_ray.rewards import OARRewardConfig, SpecificConfig, SpecificReward


def open_specific(workspace: Workspace, config: SpecificConfig) -> SpecificReward:
    """The reward with the training queries of the workspace as negatives."""
    train = load_queries(workspace, "oar", "train")
    return SpecificReward(
        config=config,
        train_ids=[query.query_id for query in train],
        train_emb_ND=query_embeddings(workspace)(train),
    )


def specific_settings(reward: OARRewardConfig) -> SpecificConfig:
    """The settings of the reward that is searched offline: the run's own, or the defaults for a reward of another type.

    Back-translation is too slow for a search, and eq. 1 of arXiv 2603.06397 has a constant answer among its best.
    """
    return reward if isinstance(reward, SpecificConfig) else SpecificConfig()
