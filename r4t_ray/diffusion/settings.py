"""Settings of the diffusion retriever. The defaults suit a small catalogue on two CPU cores.

``preset: paper`` gives Table 3 of arXiv 2603.06397. This module loads neither torch nor ray, so that an experiment's
settings are checked before either is loaded.

Three values follow from other settings, so no YAML file holds them: ``num_rows`` and ``dim`` are read from the pairs,
``sigma_data`` follows from ``dim``. A saved retriever's config.json records them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from r4t_ray.config import Operational, PerTask, Settings, SharingWorkers
from r4t_ray.diffusion.samplers import SOLVERS, SolverName

Prior = Literal["linear", "nearness"]
"""The part of an anchor's logit that depends on the query; ``denoiser`` describes both."""

Levels = Literal["tangent", "log_uniform", "karras", "lognormal"]
"""A map from [0, 1] to noise levels; ``schedule.SCHEDULES`` holds one function for each name."""


class NetworkSettings(Settings):
    """Size of the set transformer."""

    hidden_size: int = Field(
        128, ge=1, description="Width of the transformer's hidden rows; a multiple of `num_heads`. Raise it on a GPU."
    )
    mlp_size: int = Field(256, ge=1, description="Width of the hidden layer of each block's MLP.")
    num_heads: int = Field(4, ge=1, description="Attention heads of each block.")
    num_layers: int = Field(2, ge=1, description="Transformer blocks. Raise it on a GPU.")
    num_query_tokens: int = Field(
        4, ge=1, description="Tokens made of the query embedding, to which the rows attend (cross-attention)."
    )
    noise_dim: int = Field(32, ge=2, multiple_of=2, description="Width of the embedding of the noise level; even.")
    dropout: float = Field(
        0.0, ge=0, lt=1, description="Dropout of each block's outputs. Raise it if the validation loss rises."
    )
    attention_dropout: float = Field(0.0, ge=0, lt=1, description="Dropout of the attention weights.")
    num_anchors: int = Field(
        1024,
        ge=0,
        description="Most anchors that are target rows (see `diffusion.anchors`). The solver top_anchors needs "
        "`pairs.num_rows` or more. 0 gives the paper's network, which has no anchors of either kind.",
    )

    @model_validator(mode="after")
    def _heads_divide_hidden(self) -> NetworkSettings:
        if self.hidden_size % self.num_heads:
            raise ValueError(f"hidden_size ({self.hidden_size}) must be a multiple of num_heads ({self.num_heads})")
        return self

    def for_pairs(self, num_rows: int, dim: int, prior: Prior = "linear") -> NetworkConfig:
        """The shape of a network for pairs of ``num_rows`` target rows of width ``dim``."""
        return NetworkConfig(**(self.model_dump() | {"num_rows": num_rows, "dim": dim, "prior": prior}))


class NetworkConfig(NetworkSettings):
    """Shape of a set transformer, as config.json records it."""

    num_rows: int = Field(12, ge=1, description="Rows generated for a query (L in the paper); `pairs.num_rows`.")
    dim: int = Field(128, ge=1, description="Width of the embeddings (d in the paper); `encoder.dim`.")
    prior: Prior = Field(
        "linear",
        description="What the query adds to an anchor's logit: a linear map and nearness, or nearness without the "
        "anchor's hubness. nearness where the anchors are entries of the pool.",
    )
    num_keys: int = Field(
        0, ge=0, description="Training queries with known relevant entries that the network remembers, for nearness."
    )
    num_key_entries: int = Field(0, ge=0, description="Most relevant entries of one of them.")


class NoiseSettings(Settings):
    """Range of the noise levels, and how training draws from it."""

    sigma_min: float = Field(
        0.004, gt=0, description="Lowest noise level. Entries of unit rows deviate by 1 / sqrt(d)."
    )
    sigma_max: float = Field(
        1.0, gt=0, description="Highest noise level, from which sampling starts. The paper starts from 80."
    )
    train_levels: Levels = Field("lognormal", description="Distribution from which training samples noise levels.")
    lognormal_mean: float = Field(
        1.5,
        description="Only for `train_levels: lognormal`: mean of ln(sigma / sigma_data). -0.51 equals the -1.2 of EDM, "
        "because its sigma_data is 0.5.",
    )
    lognormal_std: float = Field(
        1.0, gt=0, description="Only for `train_levels: lognormal`: standard deviation of ln(sigma)."
    )

    @model_validator(mode="after")
    def _range_is_ordered(self) -> NoiseSettings:
        if self.sigma_min >= self.sigma_max:
            raise ValueError(f"sigma_min ({self.sigma_min}) must be below sigma_max ({self.sigma_max})")
        return self

    def for_width(self, dim: int) -> NoiseConfig:
        """The noise for unit rows of width ``dim``."""
        return NoiseConfig(**(self.model_dump() | {"sigma_data": sigma_data_of(dim)}))


class NoiseConfig(NoiseSettings):
    """Noise of a retriever, as config.json records it."""

    sigma_data: float = Field(0.088, gt=0, description="Deviation of the data's entries: 1 / sqrt(d) for unit rows.")


def sigma_data_of(dim: int) -> float:
    """Deviation of the entries of unit rows: 1 / sqrt(d), rounded to two significant digits.

    For d = 128 this is the 0.088 of arXiv 2603.06397, Table 3.

    >>> sigma_data_of(128), sigma_data_of(768)
    (0.088, 0.036)
    """
    return float(f"{dim**-0.5:.2g}")


class SamplerConfig(Settings):
    """How a retriever samples unless a request says otherwise."""

    solver: SolverName = Field(
        "dpmpp_2m",
        description="Solver of the reverse process. sde is the paper's; dpmpp_2m and heun need few steps; top_anchors "
        "returns the most likely rows in one evaluation; one_step is for a student.",
    )
    num_steps: int = Field(
        4, ge=1, description="Steps of the solver; more take longer. sde needs about 256. top_anchors ignores it."
    )
    guidance: float = Field(
        0.0,
        ge=0,
        description="Classifier-free guidance strength. Above 0 each step costs twice as much, and rows lie nearer to "
        "the query. top_anchors and one_step ignore it.",
    )
    levels: Literal["tangent", "log_uniform", "karras"] = Field(
        "karras", description="Spacing of the noise levels along which a solver steps."
    )
    diversity: float | None = Field(
        None,
        ge=0,
        description="Only for top_anchors: weight of the rows' diversity beside their logits, in nats. 0 takes the "
        "largest logits. null tunes it on the validation pairs after training: answers without a bound of `candidates` "
        "become as diverse as targets.",
    )
    candidates: int | None = Field(
        None,
        ge=1,
        le=256,
        description="Only for top_anchors: rows are picked among so many anchors nearest to the query, and pick number "
        "i among at least the 2 i nearest. A `temperature` above 1 multiplies it, up to 256. null picks among the 256 "
        "most likely anchors, however far they are.",
    )


MOST_RANKED_ROWS = 64
"""Most directions of an answer whose solver ranks its rows. All of them cost one evaluation of the network."""


def most_directions(network: NetworkConfig, solver: SolverName) -> int:
    """The most directions that a network can give an answer: L, or up to MOST_RANKED_ROWS if the solver ranks rows.

    >>> shape = NetworkConfig(num_rows=12, num_anchors=1024)
    >>> most_directions(shape, "heun"), most_directions(shape, "top_anchors")
    (12, 64)
    """
    return min(MOST_RANKED_ROWS, network.num_anchors) if SOLVERS[solver].is_ranked else network.num_rows


class OptimizerConfig(Settings):
    """Adam with linear warm-up and cosine decay to zero."""

    learning_rate: float = Field(0.002, gt=0, description="Highest learning rate, at the end of the warm-up.")
    warmup_steps: int = Field(100, ge=0, description="Updates in which the learning rate rises from zero.")
    num_steps: int = Field(500, ge=1, description="Total number of updates. Raise it with the number of pairs.")
    batch_size: int = Field(64, ge=1, description="Pairs per update, summed over all workers.")
    ema_decay: float = Field(
        0.995,
        ge=0,
        lt=1,
        description="Decay of the moving average of the weights; the average is saved. Raise it with `num_steps`.",
    )
    max_grad_norm: float | None = Field(
        None, gt=0, description="Gradients of a larger norm are scaled down to this norm; null turns this off."
    )


class StudentConfig(Settings):
    """Training of a one-step student, which learns the ends of its teacher's trajectories."""

    optimizer: OptimizerConfig = Field(
        OptimizerConfig(learning_rate=0.001, warmup_steps=20, num_steps=400, batch_size=64, ema_decay=0.99),
        description="How the student is trained.",
    )
    trajectory: SamplerConfig = Field(
        SamplerConfig(solver="dpmpp_2m", num_steps=4, guidance=0.0),
        description="How the teacher's trajectories are solved. The solver must be deterministic and take steps.",
    )

    @model_validator(mode="after")
    def _a_noise_has_one_end(self) -> StudentConfig:
        solver = SOLVERS[self.trajectory.solver]
        if solver.is_stochastic or not solver.is_stepwise:
            fitting = ", ".join(name for name, one in SOLVERS.items() if one.is_stepwise and not one.is_stochastic)
            raise ValueError(
                f"trajectory.solver ({self.trajectory.solver!r}) must be deterministic and take steps: {fitting}"
            )
        return self


class DiffusionConfig(Settings):
    """Settings of the train-diffusion stage."""

    network: NetworkSettings = Field(NetworkSettings(), description="Size of the network.")
    noise: NoiseSettings = Field(NoiseSettings(), description="Noise levels of training and sampling.")
    optimizer: OptimizerConfig = Field(OptimizerConfig(), description="How the retriever is trained.")
    sampler: PerTask[SamplerConfig] = Field(
        PerTask(
            oar=SamplerConfig(solver="top_anchors", candidates=40),
            wscr=SamplerConfig(solver="top_anchors", num_steps=256, guidance=0.1, diversity=0.0),
        ),
        description="How each task's retriever samples unless a request says otherwise.",
    )
    student: PerTask[StudentConfig | None] = Field(
        PerTask[StudentConfig | None](oar=None, wscr=None),
        description="A student that answers in one evaluation and serves in place of the retriever; null trains none.",
    )
    anchors: PerTask[Literal["pool", "rows"]] = Field(
        PerTask(oar="pool", wscr="rows"),
        description="Known vectors from which the output is mixed. pool: every entry of the pool, as far as a batch's "
        "logits take at most 256 MB (`optimizer.batch_size` x `pairs.num_rows` x entries x 4 bytes), the entries that "
        "the pairs name most often first. rows: the `network.num_anchors` most frequent target rows. WSCR's targets "
        "are sub-queries, not entries.",
    )
    row_matching: Literal["random", "noise"] = Field(
        "noise",
        description="Order of a target's rows: random, as in the paper, or matched to the rows of noise, which suits "
        "solvers of few steps.",
    )
    prior_weight: float = Field(
        1.0,
        ge=0,
        description="Weight of the cross-entropy that teaches which anchors a query calls for. Needs "
        "`network.num_anchors`. 0 is the paper's loss.",
    )
    query_dropout: float = Field(
        0.1, ge=0, le=1, description="Share of queries replaced by the null embedding. Guidance needs it above 0."
    )
    shuffle_rows: int = Field(
        16_384, ge=1, description="Pairs that are read and shuffled together; only with `cache_pairs: false`."
    )
    cache_pairs: bool = Field(
        True,
        description="Hold each worker's pairs in the memory of its device. Set false if they do not fit; Ray Data then "
        "reads them and needs one more CPU.",
    )
    log_every: Operational[int] = Field(100, ge=1, description="Updates between two rows of metrics.")
    validate_every: Operational[int] = Field(500, ge=1, description="Updates between two validations.")
    validation_rows: int = Field(2048, ge=0, description="Most pairs of one validation; 0 turns validation off.")
    checkpoint_every: Operational[int] = Field(
        250, ge=1, description="Updates between two checkpoints, from which a killed run continues."
    )
    max_failures: Operational[int] = Field(
        2, ge=0, description="Most restarts from a checkpoint after a worker is lost, counted over both tasks."
    )
    workers: SharingWorkers = Field(
        SharingWorkers(),
        description="Ray Train workers, which share each batch. Set `num` to the GPUs and `gpus: 1` for each.",
    )
    compile: Operational[bool] = Field(False, description="Compile the network (a minute). Set true on long runs.")

    @model_validator(mode="after")
    def _a_prior_is_over_anchors(self) -> DiffusionConfig:
        if self.prior_weight and not self.network.num_anchors:
            raise ValueError("prior_weight needs anchors: set network.num_anchors, or prior_weight to 0")
        return self

    @model_validator(mode="after")
    def _workers_share_the_batch(self) -> DiffusionConfig:
        batch_sizes = {"optimizer": self.optimizer.batch_size}
        students = {"oar": self.student.oar, "wscr": self.student.wscr}
        batch_sizes |= {f"student.{task}.optimizer": one.optimizer.batch_size for task, one in students.items() if one}
        for name, size in batch_sizes.items():
            if size % self.workers.num:
                raise ValueError(f"{name}.batch_size ({size}) must be a multiple of workers.num ({self.workers.num})")
        return self
