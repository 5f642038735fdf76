"""Calls of a language model behind any OpenAI-compatible endpoint. No message and no file has the key."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from r4t_ray.endpoints.address import checked_address
from r4t_ray.endpoints.key import without_key
from r4t_ray.endpoints.loopback import is_loopback
from r4t_ray.errors import ConfigError
from r4t_ray.machine.library_faults import in_our_words

NO_KEY = "none"
"""Is sent as the key to an endpoint without keys, because the client library wants some text."""
FAULT_CHARS = 300
"""Characters of a server's own message that ours repeat."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """The outcome of one prompt: the ``text`` of the reply, or None and the ``fault`` of the last try."""

    text: str | None
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class ChatEndpoint:
    """A model at an endpoint.

    Attributes:
        base_url: Address of the endpoint, with its /v1.
        model: Name of the model there.
        key: The key of the endpoint; None if it needs none.
        key_from: Where the key is from, for messages.
        timeout_s: Seconds after which a call counts as failed.
        max_retries: Further tries of a failed call.
        max_concurrency: Calls that are open at once.
    """

    base_url: str
    model: str
    key: str | None = field(repr=False)
    key_from: str
    timeout_s: float
    max_retries: int
    max_concurrency: int

    def ask(self, prompts: Sequence[str], **fields: Any) -> list[Reply]:
        """The reply to each prompt, in their order.

        Args:
            prompts: Each is one message of a user.
            fields: Further fields of the requests, such as ``max_tokens``.

        Raises:
            ConfigError: The address is none, or the endpoint refuses the key or does not know the model.
            MachineError: The proxy that the environment names cannot be used.
        """
        try:
            checked_address(self.base_url)
        except ValueError as error:
            raise ConfigError("the endpoint's address", "another text", str(error), "correct the address") from error
        return asyncio.run(self._ask_all(prompts, fields)) if prompts else []

    async def _ask_all(self, prompts: Sequence[str], fields: dict[str, Any]) -> list[Reply]:
        import openai

        gate = asyncio.Semaphore(self.max_concurrency)
        with in_our_words(f"endpoint {self.base_url}"):
            http = openai.DefaultAsyncHttpxClient(trust_env=not is_loopback(self.base_url))
        async with openai.AsyncOpenAI(
            base_url=self.base_url,
            api_key=self.key or NO_KEY,
            timeout=self.timeout_s,
            max_retries=self.max_retries,
            http_client=http,
        ) as client:

            async def ask_one(prompt: str) -> Reply:
                async with gate:
                    return await self._ask(client, prompt, fields)

            return await asyncio.gather(*map(ask_one, prompts))

    async def _ask(self, client: Any, prompt: str, fields: dict[str, Any]) -> Reply:
        import openai

        messages = [{"role": "user", "content": prompt}]
        try:
            reply = await client.chat.completions.create(model=self.model, messages=messages, **fields)
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise ConfigError(
                f"endpoint {self.base_url}",
                f"HTTP {error.status_code}",
                f"an endpoint that takes {self.key_from} and serves {self.model!r}",
                "check the address, the model and the key",
            ) from error
        except (openai.APIError, ValueError) as error:  # ValueError: JSON that is none
            return Reply(text=None, fault=self._told(str(error) or type(error).__name__))
        try:
            return Reply(text=reply.choices[0].message.content or "")
        except (AttributeError, IndexError, TypeError):
            return Reply(text=None, fault=self._told(f"no chat completion but {reply!r}"))

    def _told(self, fault: str) -> str:
        """The beginning of a fault, without the key if the server repeats it."""
        return without_key(fault, self.key)[:FAULT_CHARS]


def json_object(text: str) -> str:
    """The part of a reply that should be its JSON object: from the first brace after any thinking to the last one.

    >>> json_object('<think>{1}</think>Here: {"fits": [2]} Good luck.')
    '{"fits": [2]}'
    """
    said = text.rpartition("</think>")[2]
    return said[said.find("{") : said.rfind("}") + 1] if "{" in said else ""


def json_fields(text: str) -> dict[str, Any]:
    """The fields of the JSON object of a reply; empty if the reply has none.

    >>> json_fields('Here: {"fits": [2]}'), json_fields("Sorry.")
    ({'fits': [2]}, {})
    """
    try:
        return dict(json.loads(json_object(text)))
    except ValueError:
        return {}
