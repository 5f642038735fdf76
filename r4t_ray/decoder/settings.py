"""Settings of the item decoder and its training."""

from __future__ import annotations

from pydantic import Field

from r4t_ray.config import Settings


class DecoderConfig(Settings):
    """The item decoder of weakly supervised compositional retrieval (WSCR) and its training."""

    own_penalty: float = Field(
        0.1,
        gt=0,
        description="Penalty on the squared length of an item's own vector u_i, in nats per member of a training set. "
        "Raise it if the validation loss rises early. At 0.1, u_i adds about 2 nats to a score.",
    )
    shared_penalty: float = Field(
        10.0,
        ge=0,
        description="Penalty on the squared difference between the shared matrix A and a multiple of the identity, in "
        "nats per member of a training set. A low value fits A to the items that training sets hold.",
    )
    dropped_share: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="Share of the items that each step scores by their embedding alone, as it scores an item of no "
        "training set. Raise it for catalogues whose items rarely recur.",
    )
    learning_rate: float = Field(0.02, gt=0, description="Learning rate of Adam.")
    batch_size: int = Field(256, ge=1, description="Training queries in one step.")
    max_steps: int = Field(400, ge=0, description="Most steps. Training ends earlier if the validation loss rises.")
    steps_between_validations: int = Field(
        10, ge=1, description="Steps between two measurements of the validation loss."
    )
    patience: int = Field(
        3, ge=1, description="Training ends after this many measurements without a lower validation loss."
    )
    budget: int = Field(
        100, ge=1, description="Items of an answer for which beta and the bias of seen items are chosen."
    )
