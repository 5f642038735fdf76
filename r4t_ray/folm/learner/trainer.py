"""Soft-GRPO (arXiv 2603.06397, sec. 2.3) as a subclass of trl's GRPOTrainer.

Where we leave trl:

1. Advantage and loss are the functions that the settings name; the defaults are eqs. 6 and 8.
2. pi_old is the log-probability that the sampling engine reported. It is compared with the learner's log-probability.
3. A sample without a reward has no token in the loss.
4. On a CPU, log-probabilities come from ``completion_logps``, because trl's fused head also scores padding there, and
   scores every position twice.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from trl import GRPOTrainer

from r4t_ray.errors import EngineError
from r4t_ray.folm.learner import ADVANTAGES, LOSSES
from r4t_ray.folm.learner.log_probabilities import completion_logps
from r4t_ray.folm.learner.lora import merge_adapters
from r4t_ray.folm.learner.optimizer import BETAS, parameter_groups
from r4t_ray.folm.learner.settings import SoftGRPOConfig

CHECKED_SAMPLES = 32
"""Number of samples of a worker's batch whose log-probabilities are compared with the engine's. They are evenly spaced
over the batch, because each rollout actor samples consecutive groups and every actor must be checked."""
MAX_LOGP_GAP = {"float32": 0.001, "bfloat16": 0.5}
"""Precision of the engine -> largest difference of a token's log-probability in nats, if the settings name none."""
TOLERATED_SHARE = {"float32": 0.0, "bfloat16": 0.01}
"""Share of the compared tokens that may differ more. In bfloat16 single tokens do, because their logits are rounded."""
CHECKED_COLUMNS = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "sampling_per_token_logps")


def check_gaps(gap_N: Tensor, most: float, engine_dtype: str, step: int) -> None:
    """Raise EngineError if too many of N compared tokens differ by more than ``most`` nats, or one by NaN.

    In float32 no token may. In bfloat16 TOLERATED_SHARE of the tokens may, rounded up.
    """
    share = TOLERATED_SHARE[engine_dtype]
    num_beyond, num_tolerated = int((~(gap_N <= most)).sum()), math.ceil(share * len(gap_N))
    if num_beyond > num_tolerated or gap_N.isnan().any():
        raise EngineError(
            f"rollout at step {step}",
            f"log-probabilities up to {float(gap_N.max()):.4g} away from the learner's, {num_beyond} of {len(gap_N)} "
            f"tokens by more than max_logp_gap = {most:g}",
            f"at most {num_tolerated} such tokens ({share:.0%}), because the engine computes in {engine_dtype}",
            "the engine holds other weights, or computes in another precision than folm.engine.dtype says: check that "
            "weights arrive, or raise folm.grpo.<task>.max_logp_gap",
        )


class SoftGRPOTrainer(GRPOTrainer):
    """trl's GRPOTrainer with the advantage, the loss and the learning rates of the settings.

    Args:
        grpo: The settings of the task.
        bf16: Compute the loss, forward and backward, in bfloat16 autocast.
        engine_bf16: Whether the engine computes in bfloat16. The learner's log-probabilities for the comparison are
            then computed in bfloat16 too.
        *args: Passed to GRPOTrainer.
        **kwargs: Passed to GRPOTrainer.
    """

    optimizer: torch.optim.Optimizer | None
    num_iterations: int

    def __init__(self, *args: Any, grpo: SoftGRPOConfig, bf16: bool, engine_bf16: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.grpo, self.bf16, self.engine_bf16 = grpo, bf16, engine_bf16
        self.engine_dtype = "bfloat16" if engine_bf16 else "float32"
        self.max_logp_gap = grpo.max_logp_gap or MAX_LOGP_GAP[self.engine_dtype]
        self.is_on_policy = True
        """Whether the batch was sampled from the learner's current weights. The bridge to the rollout pool sets it."""

    @property
    def num_batches(self) -> int:
        """Number of batches of rollouts on which training is complete."""
        return int(self.state.global_step) // self.grpo.num_iterations

    def full_state(self) -> tuple[Any, dict[str, Tensor]]:
        """The model without adapters, and its whole state dict with the adapters merged.

        Every worker must call this, because a sharded model is gathered from all workers. The state dict is empty in
        all workers except the first.
        """
        state = self.accelerator.get_state_dict(self.model_wrapped)
        model = self.accelerator.unwrap_model(self.model)
        if not self.accelerator.is_main_process:
            return model, {}
        return merge_adapters(model, state) if hasattr(model, "peft_config") else (model, state)

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW at the rates of the settings. Parameters without a rate are frozen."""
        if self.optimizer is None:
            groups = parameter_groups(model or self.model, self.grpo.rates)
            self.optimizer = torch.optim.AdamW(groups, betas=BETAS, weight_decay=0.0, fused=True)
        return self.optimizer

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        with self._autocast(self.engine_bf16):
            batch = self._generate_only(inputs)
            self._check_log_probabilities(batch)
        num = len(batch["completion_mask"])
        own = slice(self.accelerator.process_index * num, (self.accelerator.process_index + 1) * num)
        reward_QG = self._reward_B.view(-1, self.grpo.num_generations)
        batch["advantages"] = ADVANTAGES[self.grpo.advantage](reward_QG).flatten()[own]
        batch["completion_mask"] = batch["completion_mask"] * ~self._reward_B.isnan()[own, None]
        return batch

    def _check_log_probabilities(self, batch: Any) -> None:
        """Compare the engine's log-probabilities with the learner's, and log the gap.

        Raises:
            EngineError: Both should have the same weights, but more tokens than the precision of the engine explains
                differ by more than ``max_logp_gap``.
        """
        stride = -(-len(batch["completion_mask"]) // CHECKED_SAMPLES)
        checked = {name: batch[name][::stride] for name in CHECKED_COLUMNS}
        with torch.no_grad():
            learner_logp_BT = self._completion_logps(self.model, checked)
        gap_BT = (checked["sampling_per_token_logps"] - learner_logp_BT).abs() * checked["completion_mask"]
        self._metrics["train"]["sampling/logp_gap_max"].append(float(gap_BT.max()))
        self._metrics["train"]["sampling/logp_gap_mean"].append(float(gap_BT.sum() / checked["completion_mask"].sum()))
        if self.is_on_policy:
            check_gaps(
                gap_BT[checked["completion_mask"] > 0], self.max_logp_gap, self.engine_dtype, self.state.global_step
            )

    def _generate_only(self, inputs: Any) -> Any:
        """The batch that trl makes of ``inputs``, without trl's own pi_old.

        With several iterations trl would compute pi_old for all samples. ``num_iterations`` is therefore 1 meanwhile.
        """
        num_iterations, self.num_iterations = self.num_iterations, 1
        try:
            batch = super()._generate_and_score_completions(inputs)
        finally:
            self.num_iterations = num_iterations
        assert "old_per_token_logps" not in batch, "trl scored the samples"
        return batch

    def _calculate_rewards(self, *args: Any) -> Tensor:
        """Trl's rewards of all workers, (B, 1); NaN for a sample without a reward. They are kept for the advantage."""
        reward_B1: Tensor = super()._calculate_rewards(*args)
        self._reward_B = reward_B1[:, 0]
        return reward_B1

    def _autocast(self, is_enabled: bool) -> torch.autocast:
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=is_enabled)

    def _completion_logps(self, model: Any, batch: Any) -> Tensor:
        logp_BT, _, _ = self._get_per_token_logps_and_entropies(
            model,
            torch.cat([batch["prompt_ids"], batch["completion_ids"]], dim=1),
            torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1),
            batch["completion_ids"].size(1),
            batch_size=self.args.per_device_train_batch_size,
        )
        return logp_BT

    def _get_per_token_logps_and_entropies(
        self, model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int, **options: Any
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        if input_ids.device.type != "cpu":
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, **options
            )
        return completion_logps(model, input_ids, attention_mask, logits_to_keep, self.temperature), None, None

    def _compute_loss(self, model: Any, inputs: Any) -> Tensor:
        with self._autocast(self.bf16):
            logp_BT = self._completion_logps(model, inputs)
        loss = LOSSES[self.grpo.loss](
            logp_BT,
            inputs["sampling_per_token_logps"],
            inputs["advantages"],
            inputs["completion_mask"],
            clip_eps=self.grpo.clip_eps,
            beta_kl=self.grpo.beta_kl,
            beta_entropy=self.grpo.beta_entropy,
        )
        return loss / self.current_gradient_accumulation_steps
