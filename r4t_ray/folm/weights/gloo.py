"""vLLM's dense weight transfer over gloo, for engines on CPU. It works like vLLM's NCCL engines."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, ClassVar, Self

import torch
from torch.distributed import BroadcastOptions
from vllm.distributed.utils import stateless_init_torch_distributed_process_group
from vllm.distributed.weight_transfer.nccl_common import worker_init_payload
from vllm.distributed.weight_transfer.nccl_engine import (
    NCCLTrainerInitInfo,
    NCCLTrainerWeightTransferEngine,
    NCCLWeightTransferEngine,
    NCCLWeightTransferInitInfo,
)

MEETING = timedelta(minutes=10)
"""Time limit for forming the process group, and for sending each tensor."""


def join(info: Any, rank: int) -> Any:
    """Join the process group at the address in ``info``."""
    return stateless_init_torch_distributed_process_group(
        info.master_address, info.master_port, rank, info.world_size, "gloo", timeout=MEETING
    )


def broadcast(group: Any, tensor: torch.Tensor) -> None:
    """Send a tensor from rank 0 to all others, in place, and wait for it."""
    options = BroadcastOptions()
    options.rootRank, options.rootTensor = 0, 0
    group.broadcast([tensor], options).wait()


def leave(engine: Any) -> None:
    """Close the engine's process group, if it has one."""
    if engine.model_update_group is not None:
        engine.model_update_group.shutdown()
        engine.model_update_group = None


class GlooWeightTransferEngine(NCCLWeightTransferEngine):
    """The engine's side: receives one tensor after the other."""

    def init_transfer_engine(self, init_info: Any) -> None:
        """Join the learner's group."""
        self.model_update_group = join(init_info, init_info.rank_offset + self.parallel_config.rank)

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Receive every weight and load it."""
        info = self.parse_update_info(update_info)
        for name, dtype, shape in zip(info.names, info.dtype_names, info.shapes, strict=True):
            weight = torch.empty(shape, dtype=getattr(torch, dtype))
            broadcast(self.model_update_group, weight)
            self.model.load_weights([(name, weight)])

    def shutdown(self) -> None:
        """Leave the group."""
        leave(self)


class GlooTrainerInitInfo(NCCLTrainerInitInfo):
    """Address of the process group. vLLM's factory chooses the engine by this type."""

    backend: ClassVar[str] = "gloo"


class GlooTrainerWeightTransferEngine(NCCLTrainerWeightTransferEngine):
    """The learner's side: sends one tensor after the other."""

    @classmethod
    def trainer_init(cls, init_info: Any, *, client: Any, source: Any = None) -> Self:
        """Form the process group with the engines. Both sides wait for each other, so they join at the same time."""
        engine = cls(client=client, source=source, is_sender=init_info.is_sender, packed=False)
        if not engine.is_sender:
            return engine
        place = NCCLWeightTransferInitInfo(
            master_address=init_info.master_address,
            master_port=init_info.master_port,
            rank_offset=1,
            world_size=init_info.world_size,
        )
        with ThreadPoolExecutor(max_workers=1) as threads:
            joined = threads.submit(client.init_weight_transfer_engine, worker_init_payload(place))
            engine.model_update_group = join(init_info, 0)
            joined.result()
        return engine

    def _broadcast(self, source: Any, meta: list[Any]) -> None:
        if self.is_sender:
            for _, weight in self._checked_iter(source, meta):
                broadcast(self.model_update_group, weight.contiguous())

    def shutdown(self) -> None:
        """Leave the group."""
        leave(self)
