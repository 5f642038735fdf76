"""Prompts for a language model, asked in rounds."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from r4t_ray.endpoints.chat import ChatEndpoint
from r4t_ray.errors import MachineError

MAX_EMPTY_ROUNDS = 3
SHOWN_CHARS = 200

_logger = logging.getLogger(__name__)


class Rounds:
    """Asks, and ends a run whose rounds bring nothing: the first one without any reply, or MAX_EMPTY_ROUNDS of them."""

    def __init__(self, endpoint: ChatEndpoint) -> None:
        self._endpoint = endpoint
        self._num_empty, self._had_reply = 0, False
        self._last = "no reply"

    def ask(self, prompts: Sequence[str]) -> list[str | None]:
        """The text of each reply; None for a failed call.

        Raises:
            ConfigError: The endpoint refuses the key or does not know the model.
            MachineError: No call of the run has had a reply.
        """
        replies = self._endpoint.ask(prompts)
        for reply in replies:
            self._last = f"{reply.text[:SHOWN_CHARS]!r}" if reply.text is not None else reply.fault
        faults = [reply.fault for reply in replies if reply.text is None]
        if faults:
            _logger.warning("%d of %d calls failed, the last one: %s", len(faults), len(replies), faults[-1])
        self._had_reply = self._had_reply or len(faults) < len(replies)
        if replies and not self._had_reply:
            raise MachineError(
                f"endpoint {self._endpoint.base_url}",
                faults[-1],
                f"replies of {self._endpoint.model!r}",
                "start the endpoint, correct --url, or raise --timeout-s; then run the command again",
            )
        return [reply.text for reply in replies]

    def end(self, num_found: int, counts: str, written: str) -> None:
        """End a round.

        Args:
            num_found: The usable parts that it brought.
            counts: The parts of the run that were left out, in words.
            written: The state of the file, in words.

        Raises:
            MachineError: This round and the ones before it brought nothing.
        """
        self._num_empty = 0 if num_found else self._num_empty + 1
        if self._num_empty == MAX_EMPTY_ROUNDS:
            raise MachineError(
                f"{self._endpoint.model} at {self._endpoint.base_url}",
                f"{MAX_EMPTY_ROUNDS} rounds that brought nothing ({counts}); the last reply: {self._last}",
                "replies of the form that the prompt shows, about new things",
                f"take a larger model or one with a longer context, or stop with {written}",
            )
