"""Pure measures of a set of results. Training (``rewards/``) and the tables (``evaluation/``) call the same ones."""

from r4t_ray.measures.answer_comparison import catalogue_share, identification, jaccard, mean_rows, swap
from r4t_ray.measures.set_measures import (
    alignment,
    groundedness,
    hit,
    recall,
    unit_distance,
    vendi_of_kernels,
    vendi_score,
    vendi_scores,
    vendi_scores_of_k,
)
from r4t_ray.measures.set_rules import first_keeping, keeps_rule, rule_violations
from r4t_ray.measures.theme_measures import theme_precision, theme_precision_all, theme_recall

__all__ = [
    "alignment",
    "catalogue_share",
    "first_keeping",
    "groundedness",
    "hit",
    "identification",
    "jaccard",
    "keeps_rule",
    "mean_rows",
    "recall",
    "rule_violations",
    "swap",
    "theme_precision",
    "theme_precision_all",
    "theme_recall",
    "unit_distance",
    "vendi_of_kernels",
    "vendi_score",
    "vendi_scores",
    "vendi_scores_of_k",
]
