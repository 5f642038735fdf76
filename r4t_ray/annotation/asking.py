"""Prompts for a language model, asked together."""

from __future__ import annotations

from collections.abc import Sequence

from r4t_ray.endpoints.chat import ChatEndpoint
from r4t_ray.errors import MachineError


def texts_of_replies(endpoint: ChatEndpoint, prompts: Sequence[str]) -> list[str | None]:
    """The text of each reply; None for a failed call.

    Raises:
        ConfigError: The endpoint refuses the key or does not know the model.
        MachineError: No call had a reply.
    """
    replies = endpoint.ask(prompts)
    if replies and all(reply.text is None for reply in replies):
        raise MachineError(
            f"endpoint {endpoint.base_url}",
            f"{replies[0].fault}, after {endpoint.max_retries + 1} tries",
            f"replies of {endpoint.model!r}",
            "start the endpoint, correct --url, or raise --timeout-s; then run the command again, and it continues",
        )
    return [reply.text for reply in replies]


def nothing_usable(endpoint: ChatEndpoint, got: str, fix: str) -> MachineError:
    """The error for a model that answers and does not write what it is asked for."""
    return MachineError(
        f"{endpoint.model} at {endpoint.base_url}", got, "replies of the form that the prompt shows", fix
    )
