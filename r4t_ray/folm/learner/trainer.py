"""Soft-GRPO, eq. 8 of arXiv 2603.06397, as a subclass of trl's GRPOTrainer that overrides the loss.

A sample without a reward takes no part in it: trl leaves it out of its group's mean, and its tokens are masked here.
Where we leave trl: pi_old is the sampling engine's own log-probability, and the two entropy-regularising terms of eq. 8
are added with the policy term's mask and normaliser. On a CPU, where trl's fused head scores padding too and every
position twice, log-probabilities come from ``completion_logps``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from trl import GRPOTrainer

from r4t_ray.errors import EngineError
from r4t_ray.folm.learner.log_probabilities import completion_logps
from r4t_ray.folm.learner.loss import soft_grpo_loss
from r4t_ray.folm.learner.optimizer import BETAS, parameter_groups

CHECKED_SAMPLES = 32
"""At most so many of a worker's samples, at equal distances, have the learner's log-probabilities held against the
engine's. Rollout actors answer for runs of groups, one after the other, so each of them is among these."""
CHECKED_COLUMNS = ("prompt_ids", "prompt_mask", "completion_ids", "completion_mask", "sampling_per_token_logps")


class SoftGRPOTrainer(GRPOTrainer):
    """trl's GRPOTrainer with the loss of eq. 8.

    Args:
        beta_kl: b1 of eq. 8.
        beta_entropy: b2 of eq. 8.
        rates: Learning rates by regular expression of parameter names, as ``match_rates`` takes them.
        max_logp_gap: Largest |log pi_engine - log pi_learner| allowed in ``CHECKED_SAMPLES`` while ``is_on_policy``; a
            larger one means that the engine sampled from other weights, and raises EngineError.
        bf16: Compute the loss, forward and backward, in bfloat16 autocast.
        engine_bf16: Compute the log-probabilities that are held against the engine's in bfloat16 as well, as an engine
            of that precision does.
        *args: Passed to GRPOTrainer.
        **kwargs: Passed to GRPOTrainer.
    """

    optimizer: torch.optim.Optimizer | None
    num_iterations: int

    def __init__(
        self,
        *args: Any,
        beta_kl: float,
        beta_entropy: float,
        rates: Mapping[str, float],
        max_logp_gap: float,
        bf16: bool,
        engine_bf16: bool,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.rates = rates
        self.beta_kl, self.beta_entropy, self.max_logp_gap = beta_kl, beta_entropy, max_logp_gap
        self.bf16, self.engine_bf16 = bf16, engine_bf16
        self.is_on_policy = True

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """AdamW at ``rates``; parameters without one are frozen."""
        if self.optimizer is None:
            groups = parameter_groups(model or self.model, self.rates)
            self.optimizer = torch.optim.AdamW(groups, betas=BETAS, weight_decay=0.0, fused=True)
        return self.optimizer

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        with self._autocast(self.engine_bf16):
            batch = self._generate_only(inputs)
            stride = -(-len(batch["completion_mask"]) // CHECKED_SAMPLES)
            checked = {name: batch[name][::stride] for name in CHECKED_COLUMNS}
            with torch.no_grad():
                learner_logp_BT = self._completion_logps(self.model, checked)
        gap_BT = (checked["sampling_per_token_logps"] - learner_logp_BT).abs() * checked["completion_mask"]
        gap = float(gap_BT.max())
        self._metrics["train"]["sampling/logp_gap_max"].append(gap)
        self._metrics["train"]["sampling/logp_gap_mean"].append(float(gap_BT.sum() / checked["completion_mask"].sum()))
        if self.is_on_policy and gap > self.max_logp_gap:
            raise EngineError(
                f"rollout at step {self.state.global_step}",
                f"log-probabilities {gap:.4g} away from the learner's",
                f"at most folm.grpo.max_logp_gap = {self.max_logp_gap}",
                "the engine holds other weights or another precision; check that weights arrive, or raise the bound",
            )
        first = self.accelerator.process_index * len(batch["completion_mask"])
        has_reward_B = self._has_reward[first : first + len(batch["completion_mask"])]
        batch["completion_mask"] = batch["completion_mask"] * has_reward_B[:, None]
        return batch

    def _generate_only(self, inputs: Any) -> Any:
        """What trl makes of ``inputs``, without its own pi_old: with several iterations it would score all samples."""
        num_iterations, self.num_iterations = self.num_iterations, 1
        try:
            batch = super()._generate_and_score_completions(inputs)
        finally:
            self.num_iterations = num_iterations
        assert "old_per_token_logps" not in batch, "trl scored the samples"
        return batch

    def _calculate_rewards(self, *args: Any) -> torch.Tensor:
        reward_BF: torch.Tensor = super()._calculate_rewards(*args)
        self._has_reward = ~reward_BF.isnan().all(dim=1)
        return reward_BF

    def _autocast(self, is_enabled: bool) -> torch.autocast:
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=is_enabled)

    def _completion_logps(self, model: Any, batch: Any) -> torch.Tensor:
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
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        if input_ids.device.type != "cpu":
            return super()._get_per_token_logps_and_entropies(
                model, input_ids, attention_mask, logits_to_keep, **options
            )
        return completion_logps(model, input_ids, attention_mask, logits_to_keep, self.temperature), None, None

    def _compute_loss(self, model: Any, inputs: Any) -> torch.Tensor:
        with self._autocast(self.bf16):
            logp_BT = self._completion_logps(model, inputs)
        loss = soft_grpo_loss(
            logp_BT,
            inputs["sampling_per_token_logps"],
            inputs["advantages"],
            inputs["completion_mask"],
            self.epsilon_low,
            self.beta_kl,
            self.beta_entropy,
        )
        return loss / self.current_gradient_accumulation_steps
