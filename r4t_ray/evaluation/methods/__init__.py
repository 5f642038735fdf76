"""The registry of methods. To add a method, write a file in this folder and add it to METHODS."""

from __future__ import annotations

from r4t_ray.evaluation.bench import Method
from r4t_ray.evaluation.methods.best_of_5 import BEST_OF_5
from r4t_ray.evaluation.methods.best_of_5_items import BEST_OF_5_ITEMS
from r4t_ray.evaluation.methods.best_of_5_oracle import BEST_OF_5_ORACLE
from r4t_ray.evaluation.methods.constant import CONSTANT
from r4t_ray.evaluation.methods.dpp import DPP
from r4t_ray.evaluation.methods.ease_items import EASE_ITEMS
from r4t_ray.evaluation.methods.greedy_reward import GREEDY_REWARD
from r4t_ray.evaluation.methods.mmr import MMR
from r4t_ray.evaluation.methods.mmr_items import MMR_ITEMS
from r4t_ray.evaluation.methods.nearest_sets import NEAREST_SETS
from r4t_ray.evaluation.methods.nearest_sets_items import NEAREST_SETS_ITEMS
from r4t_ray.evaluation.methods.no_fanout import NO_FANOUT
from r4t_ray.evaluation.methods.no_fanout_items import NO_FANOUT_ITEMS
from r4t_ray.evaluation.methods.popular import POPULAR
from r4t_ray.evaluation.methods.popular_items import POPULAR_ITEMS
from r4t_ray.evaluation.methods.r4t_diffusion import R4T_DIFFUSION
from r4t_ray.evaluation.methods.r4t_diffusion_items import R4T_DIFFUSION_ITEMS
from r4t_ray.evaluation.methods.r4t_folm import R4T_FOLM
from r4t_ray.evaluation.methods.r4t_folm_items import R4T_FOLM_ITEMS
from r4t_ray.evaluation.methods.r4t_student import R4T_STUDENT
from r4t_ray.evaluation.methods.ridge_items import RIDGE_ITEMS
from r4t_ray.evaluation.methods.soft_sets import SOFT_SETS
from r4t_ray.evaluation.methods.soft_sets_items import SOFT_SETS_ITEMS
from r4t_ray.evaluation.methods.zero_shot import ZERO_SHOT
from r4t_ray.evaluation.methods.zero_shot_items import ZERO_SHOT_ITEMS

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        CONSTANT,
        NO_FANOUT,
        NO_FANOUT_ITEMS,
        MMR,
        MMR_ITEMS,
        DPP,
        GREEDY_REWARD,
        POPULAR,
        POPULAR_ITEMS,
        NEAREST_SETS,
        NEAREST_SETS_ITEMS,
        SOFT_SETS,
        SOFT_SETS_ITEMS,
        RIDGE_ITEMS,
        EASE_ITEMS,
        ZERO_SHOT,
        ZERO_SHOT_ITEMS,
        BEST_OF_5,
        BEST_OF_5_ITEMS,
        BEST_OF_5_ORACLE,
        R4T_FOLM,
        R4T_FOLM_ITEMS,
        R4T_DIFFUSION,
        R4T_DIFFUSION_ITEMS,
        R4T_STUDENT,
    )
}
"""Name -> method, in the order of the tables. The language models are adjacent because they share one engine."""
