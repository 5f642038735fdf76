"""The learner: Soft-GRPO inside Ray Train.

Advantage and loss are swap points. A new one is a file beside ``advantage.py`` or ``loss.py`` with a function of the
same signature, and one line in the mapping below. ``folm.grpo.<task>.advantage`` and ``.loss`` choose by name.
"""

from r4t_ray.folm.learner.advantage import AdvantageFn, group_advantage
from r4t_ray.folm.learner.loss import LossFn, soft_grpo_loss

ADVANTAGES: dict[str, AdvantageFn] = {"group": group_advantage}
LOSSES: dict[str, LossFn] = {"soft_grpo": soft_grpo_loss}

__all__ = ["ADVANTAGES", "LOSSES", "AdvantageFn", "LossFn"]
