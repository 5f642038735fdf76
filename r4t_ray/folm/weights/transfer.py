"""Sends weights from the learner's memory to the engines by vLLM's weight transfer.

The first worker broadcasts. It is rank 0 of the process group, and rollout actor n is rank 1 + n. Two faults end the
learner's process: a transfer that breaks, and a restarted engine, which does not hold the weights that a request names.
Ray Train then starts the learner again from its last checkpoint, with a new process group.

``gloo`` (CPU) is tested. ``nccl`` is experimental: it has not run on GPUs yet.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import ray
import torch

_logger = logging.getLogger(__name__)

Backend = Literal["gloo", "nccl"]


class TransferredWeights:
    """The learner's side of the transfer. Every worker needs one, because a sharded model is gathered from all.

    Args:
        actors: Every rollout actor of the pool.
        backend: ``nccl`` between GPUs, ``gloo`` on CPU.
        timeout_s: Time limit in seconds for forming the process group, and for each transfer.
    """

    def __init__(self, actors: Sequence[Any], backend: Backend, timeout_s: float) -> None:
        self._actors, self._backend, self._timeout_s = list(actors), backend, timeout_s
        self._client = RolloutActors(self._actors, timeout_s)
        self._sender: Any = None

    def publish(self, trainer: Any) -> Path:
        """Send the learner's weights to all engines and return their name. No worker returns before they arrived.

        Raises:
            RuntimeError: The transfer broke.
            TimeoutError: The transfer took longer than ``timeout_s``.
        """
        self._client.weights = f"step-{trainer.state.global_step:08d}"
        if self._sender is None:
            self._sender = self._connect(trainer)
        within(self._timeout_s, trainer.accelerator.device, self._sender.send_weights)
        trainer.accelerator.wait_for_everyone()
        return Path(self._client.weights)

    def _connect(self, trainer: Any) -> Any:
        """Make the engines leave the process group of an earlier start, and form a new group."""
        from vllm.distributed.weight_transfer.factory import WeightTransferTrainerFactory
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo

        from r4t_ray.folm.weights.gloo import GlooTrainerInitInfo

        register_gloo()
        kind = NCCLTrainerInitInfo if self._backend == "nccl" else GlooTrainerInitInfo
        meeting = kind(
            master_address=ray.util.get_node_ip_address(),
            master_port=free_port(),
            world_size=1 + len(self._actors),
            rank=int(trainer.accelerator.process_index),
        )
        if trainer.accelerator.is_main_process:
            self._client.leave()
        join, source = WeightTransferTrainerFactory.trainer_init, LearnerWeights(trainer)
        meet = partial(join, meeting, client=self._client, source=source)
        return within(self._timeout_s, trainer.accelerator.device, meet)


class LearnerWeights:
    """The learner's weights as vLLM's ``WeightSource``: their names, types and shapes, then the tensors themselves."""

    def __init__(self, trainer: Any) -> None:
        self._trainer = trainer
        self._state: dict[str, torch.Tensor] = {}

    def metadata(self) -> list[Any]:
        """Gather the weights. Every worker must take part, and only the first worker gets weights."""
        from vllm.distributed.weight_transfer.base import ParamMeta

        _, self._state = self._trainer.full_state()
        return [ParamMeta(name, weight.dtype, tuple(weight.shape)) for name, weight in self._state.items()]

    def __iter__(self) -> Iterator[tuple[str, torch.Tensor]]:
        device = self._trainer.accelerator.device
        for name, weight in self._state.items():
            yield name, weight.to(device)
        self._state = {}


class RolloutActors:
    """vLLM's ``VLLMWeightSyncClient`` over rollout actors. Each call goes to all actors and waits for all."""

    def __init__(self, actors: Sequence[Any], timeout_s: float) -> None:
        self._actors, self._timeout_s = actors, timeout_s
        self.weights = ""

    def leave(self) -> None:
        """Make every actor leave its process group. An actor that hangs in a broken transfer is restarted."""
        asked = {actor.transfer.remote("shutdown_weight_transfer_engine", {}): actor for actor in self._actors}
        _, late = ray.wait(list(asked), num_returns=len(asked), timeout=self._timeout_s)
        for reference in late:
            _logger.warning("a rollout actor has not left its last transfer in %.0f s: restarted", self._timeout_s)
            ray.kill(asked[reference], no_restart=False)
        ray.get(list(asked), timeout=self._timeout_s)

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        """Make actor n join as rank ``rank_offset`` + n."""
        joins = [
            {"init_info": init_info | {"rank_offset": init_info["rank_offset"] + n}} for n in range(len(self._actors))
        ]
        ray.get(
            [
                actor.transfer.remote("init_weight_transfer_engine", join)
                for actor, join in zip(self._actors, joins, strict=True)
            ]
        )

    def start_weight_update(self) -> None:
        """Make every engine drop the data that it derived from its old weights."""
        self._all("start_weight_update", {})

    def update_weights(self, update_info: dict[str, Any]) -> None:
        """Make every engine receive the weights, and wait for all engines."""
        self._all("update_weights", {"update_info": update_info})

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        """Make every engine use the new weights and record their name."""
        self._all("finish_weight_update", {}, weight_version or self.weights)

    def _all(self, call: str, arguments: dict[str, Any], *weights: str) -> None:
        ray.get([actor.transfer.remote(call, arguments, *weights) for actor in self._actors])


def register_gloo() -> None:
    """Register the backend ``gloo`` with vLLM, in the learner's process and in each engine's."""
    from vllm.distributed.weight_transfer.factory import WeightTransferEngineFactory, WeightTransferTrainerFactory

    if "gloo" not in WeightTransferEngineFactory._registry:
        module = "r4t_ray.folm.weights.gloo"
        WeightTransferEngineFactory.register_engine("gloo", module, "GlooWeightTransferEngine")
        WeightTransferTrainerFactory.register_engine("gloo", module, "GlooTrainerWeightTransferEngine")


def within(seconds: float, device: torch.device, call: Callable[[], Any]) -> Any:
    """Run ``call`` in a new thread and return its result.

    After a timeout the thread goes on, because a broadcast cannot be stopped.

    Raises:
        TimeoutError: The call took longer than ``seconds``.
    """

    def run() -> Any:
        if device.type == "cuda":
            torch.cuda.set_device(device)  # each thread has its own current device
        return call()

    threads = ThreadPoolExecutor(max_workers=1)
    try:
        return threads.submit(run).result(seconds)
    finally:
        threads.shutdown(wait=False)


def free_port() -> int:
    """A TCP port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])
