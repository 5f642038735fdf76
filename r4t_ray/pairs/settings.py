"""Settings of stage 2, the synthesis of pairs."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from r4t_ray.config import PerTask, Resources, Settings
from r4t_ray.pairs.recompose import RecomposeConfig
from r4t_ray.pairs.select import SelectAbove, SelectAll, SelectBest

PairPolicy = Literal["folm", "greedy"]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class PairsConfig(Settings):
    """How pairs of a query embedding and a target set are made, from a language model or by an offline optimiser."""

    policy: PerTask[PairPolicy] = Field(
        PerTask[PairPolicy](oar="greedy", wscr="folm"),
        description="Where fan-outs come from. `folm` samples the frozen fan-out language model. `greedy` maximises "
        "the reward over the entries near the query. It needs no language model, although `train-folm` runs before it. "
        "It exists for oar with the reward `{type: specific}`. With `{type: back_translation}` it maximises the "
        "specific reward, and `select` chooses among the samples by back-translation. That is expensive: about half a "
        "second for each sample, and `num_random` calls for each query.",
    )
    reference_share: PerTask[Share] = Field(
        PerTask[Share](oar=0.9, wscr=0.5),
        description="Share of the training weight of pairs whose targets are from the query's own reference: for wscr "
        "the items of its set, for oar the relevant sets of a query of the log. The other pairs come from the policy. "
        "Raise it for wscr if many items are in few training sets. 1 makes no other pairs where there are references.",
    )
    num_candidates: PositiveInt = Field(
        60,
        description="`policy: greedy` picks from about this many nearest entries of a query: each sample draws between "
        "half and twice as many.",
    )
    num_samples: PositiveInt = Field(
        2,
        description="Fan-outs sampled for each training and validation query. Raise it where queries are few and "
        "compute is cheap; the paper samples 128.",
    )
    num_recombined: PerTask[NonNegativeInt] = Field(
        PerTask(oar=2000, wscr=8000),
        description="Additional queries, each made of two training queries and sampled once. They have no reference "
        "set. Raise it where training queries are few.",
    )
    recompose: RecomposeConfig | None = Field(
        None,
        description="Experimental: it was never run on a model that gained from it. A chat model makes additional "
        "WSCR queries with reference sets; each is sampled `num_samples` times. null makes none.",
    )
    temperature: PositiveFloat = Field(
        0.9, description="Sampling temperature of the fan-out model. Higher values give sets that differ more."
    )
    select: Annotated[SelectAll | SelectBest | SelectAbove, Field(discriminator="type")] = Field(
        SelectAll(),
        description="Which sampled fan-outs become pairs: `{type: all}`, `{type: best, fraction: 0.5}` or "
        "`{type: above, reward: 0.4}`. best and above are experimental.",
    )
    num_rows: PositiveInt = Field(
        12,
        description="Rows of a target set (L in the paper). The diffusion network generates the same number of rows. "
        "Keep it a little above `folm.k`.",
    )
    queries_per_file: PositiveInt = Field(
        256,
        description="Queries sampled in one call and written into one parquet file. A killed run loses the unfinished "
        "files only. Lower it on a GPU with large `num_samples`.",
    )
    num_labels: NonNegativeInt = Field(
        2000,
        description="Number of labels of directions: the most frequent sub-queries of a task, or entries where "
        "no language model is sampled. 0 writes no labels.",
    )
    actors: Resources = Field(
        Resources(cpus=0.5),
        description="Actors that run `recompose` and then sample fan-outs; each holds one engine. On long runs set "
        "`num` to the cores or the GPUs.",
    )
    writers: Resources = Field(
        Resources(cpus=0.5),
        description="Actors that embed, search, reward and write pairs, and actors that pick entries or items where no "
        "language model is sampled. One writes about 1,000 pairs/s; raise `num` when the engines together are faster.",
    )

    @model_validator(mode="after")
    def _greedy_has_a_reward_to_maximise(self) -> Self:
        if self.policy.wscr == "greedy":
            raise ValueError("policy.wscr must be folm: greedy pairs exist for oar only")
        return self
