"""Settings of stage 1, train-folm."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from r4t_ray.config import ModelReference, Operational, PerTask, Resources, Settings, SharingWorkers
from r4t_ray.folm.learner.lora import LoRAConfig
from r4t_ray.folm.learner.settings import SoftGRPOConfig
from r4t_ray.folm.policy.engines.interface import EngineConfig
from r4t_ray.folm.policy.prompt import PromptStyle
from r4t_ray.folm.warm_start.settings import WarmStartConfig
from r4t_ray.rewards import AddedRewardConfig, CoverageConfig, OARRewardConfig, SpecificConfig
from r4t_ray.types import TASKS, Task

NORM_RATES = {r"^model\.norm": 0.35, "layernorm": 0.01}
OAR_GRPO = SoftGRPOConfig(num_steps=20, queries_per_step=20, num_recombined=2000, learning_rate=NORM_RATES)
WSCR_GRPO = SoftGRPOConfig(
    num_steps=60, queries_per_step=20, num_recombined=8000, temperature=1.5, learning_rate=NORM_RATES
)


class RewardConfig(Settings):
    """The reward of each task, in RL and in the tables."""

    oar: OARRewardConfig = Field(
        SpecificConfig(),
        description="Open-ended abstract retrieval (OAR). `{type: specific}` rewards entries that fit the query better "
        "than other queries; `{type: paper}` is eq. 1 of arXiv 2603.06397, on which a constant answer can score well; "
        "`{type: back_translation}` asks a language model how well the entries explain the query, in about half a "
        "second per answer on a CPU core.",
    )
    wscr: CoverageConfig = Field(
        CoverageConfig(expected_share=None),
        description="Weakly supervised compositional retrieval (WSCR): coverage of reference sets and of expected "
        "items.",
    )


class FolmConfig(Settings):
    """The fan-out language models (FOLM), one for each task: base model, warm start, Soft-GRPO and its rollouts."""

    base_model: ModelReference = Field(
        "package:r4t_ray/folm/base_model",
        description="A causal language model: a hub id, a directory, a GGUF file, or package:NAME/PATH inside an "
        "installed package.",
    )
    prompt_style: PromptStyle = Field(
        "compact",
        description="`chat` writes instructions in the model's chat template; use it for instruction-tuned models. "
        "`compact` is the form that the shipped base model was pretrained on.",
    )
    tasks: tuple[Task, ...] = Field(
        TASKS,
        min_length=1,
        description="Tasks to train a model for: `oar` (open-ended abstract retrieval), `wscr` (weakly supervised "
        "compositional retrieval). With one task alone, the later stages make and serve that task; `evaluate` measures "
        "the methods without a model on both.",
    )
    train: bool = Field(
        True,
        description="Whether language models are trained and sampled. false trains and samples none, which takes a "
        "fraction of the time: pairs then come from the greedy optimiser (oar) and from the training sets (wscr). It "
        "needs `pairs.policy.oar: greedy` and `pairs.reference_share.wscr: 1`, as `preset: fast` sets them. `r4t "
        "ablate` trains all the same.",
    )
    k: PositiveInt = Field(10, description="Largest number of sub-queries in one answer.")
    num_hits: PositiveInt = Field(10, description="Items that the search of one sub-query returns for the reward.")
    max_completion_tokens: PositiveInt = Field(
        128,
        description="Longest answer in tokens. Raise it for models that think first, or if answers are cut off.",
    )
    reward: RewardConfig = Field(RewardConfig(), description="The reward of each task.")
    added_rewards: PerTask[tuple[AddedRewardConfig, ...]] = Field(
        PerTask[tuple[AddedRewardConfig, ...]](oar=(), wscr=()),
        description="Rewards that RL adds to the task's own reward. The tables of evaluation do not include them.",
    )
    engine: EngineConfig = Field(EngineConfig(), description="The engine that samples.")
    rollout: Resources = Field(
        Resources(threads=2), description="Rollout actors: each holds an engine, samples answers and scores them."
    )
    rollout_timeout_s: Operational[PositiveFloat] = Field(
        1800.0,
        description="Seconds after which a rollout actor counts as hung and is restarted. The time includes the start "
        "of its engine. Raise it for models that load or sample slowly.",
    )
    learner: SharingWorkers = Field(
        SharingWorkers(threads=2),
        description="Learners: Ray Train workers that share each batch. GPUs are experimental.",
    )
    lora: LoRAConfig | None = Field(
        None, description="Train low-rank adapters instead of all weights. Use it if memory is short."
    )
    fsdp: bool = Field(
        False,
        description="Shard the model over the learners, each with a GPU. Use it for models that do not fit one GPU. "
        "Experimental: not run on GPUs yet.",
    )
    max_failures: Operational[NonNegativeInt] = Field(
        2, description="Restarts of a learner that dies. Each restart resumes from the last checkpoint."
    )
    warm_start: WarmStartConfig = Field(WarmStartConfig(), description="Supervised training before RL.")
    grpo: PerTask[SoftGRPOConfig] = Field(
        PerTask[SoftGRPOConfig](oar=OAR_GRPO, wscr=WSCR_GRPO), description="RL by Soft-GRPO on each task."
    )

    @property
    def max_prompt_tokens(self) -> int:
        """Longest prompt in tokens. The rest of the engine's sequence is for the answer."""
        return self.engine.max_model_len - self.max_completion_tokens

    @model_validator(mode="before")
    @classmethod
    def _recorded_weights_are_those_of_eq_1(cls, data: Any) -> Any:
        """The manifests of older workspaces record the weights of eq. 1 without a ``type``."""
        reward = data.get("reward") if isinstance(data, dict) else None
        oar = reward.get("oar") if isinstance(reward, dict) else None
        if (
            isinstance(reward, dict)
            and isinstance(oar, dict)
            and "type" not in oar
            and {"w_ground", "w_div", "w_align"} & set(oar)
        ):
            return data | {"reward": reward | {"oar": {"type": "paper", **oar}}}
        return data

    @field_validator("tasks")
    @classmethod
    def _each_task_once(cls, tasks: tuple[Task, ...]) -> tuple[Task, ...]:
        return tuple(dict.fromkeys(tasks))

    @model_validator(mode="after")
    def _shards_are_on_gpus(self) -> Self:
        if self.fsdp and (self.learner.gpus == 0 or self.learner.num == 1):
            raise ValueError(
                f"fsdp shards over learners with a GPU each: got learner.num {self.learner.num}, learner.gpus "
                f"{self.learner.gpus:g}; raise both, or set fsdp: false"
            )
        return self

    @model_validator(mode="after")
    def _learners_share_the_batches(self) -> Self:
        for task in self.tasks:
            grpo, num = self.grpo[task], self.learner.num
            if grpo.queries_per_step % num:
                raise ValueError(
                    f"grpo.{task}.queries_per_step ({grpo.queries_per_step}) must be a multiple of learner.num ({num})"
                )
            samples = grpo.queries_per_step * grpo.num_generations // num
            if samples % min(samples, grpo.micro_batch_size):
                raise ValueError(
                    f"a learner's samples of a step ({samples} = grpo.{task}.queries_per_step * num_generations / "
                    f"learner.num) must be a multiple of micro_batch_size ({grpo.micro_batch_size})"
                )
        return self

    @model_validator(mode="after")
    def _every_query_has_a_reward(self) -> Self:
        if "wscr" in self.tasks and self.grpo.wscr.num_recombined and self.reward.wscr.expected_share == 0:
            raise ValueError(
                "grpo.wscr.num_recombined makes queries without a reference, and only expected items reward those: "
                "set reward.wscr.expected_share above 0"
            )
        return self
