"""The key of an endpoint: it is read from the environment, and no message repeats it."""

from __future__ import annotations

import os

from r4t_ray.errors import ConfigError


def key_of(variable: str, where: str) -> str:
    """The key in an environment variable, without spaces at its edges.

    Args:
        variable: Name of the variable.
        where: The setting or option that names it, for messages.

    Raises:
        ConfigError: The variable is not set, or no header of HTTP takes its text.
    """
    if not os.environ.get(variable):
        raise ConfigError(
            where,
            f"{variable!r}, which is not set here",
            "an environment variable with the endpoint's key",
            f"export {variable}=KEY before the command or before `ray start`, or pass it by runtime_env",
        )
    key = os.environ[variable].strip()
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            where,
            f"{variable!r} with characters that no header of HTTP takes",
            "printable ASCII",
            f"export {variable}=KEY again",
        )
    return key


def without_key(text: str, key: str | None) -> str:
    """A server's text, with *** in the place of the key if the server repeats it.

    >>> without_key("bad key abc", "abc"), without_key("bad key", None)
    ('bad key ***', 'bad key')
    """
    return text.replace(key, "***") if key else text
