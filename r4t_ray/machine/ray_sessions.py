"""Connections to Ray: a local Ray with a token of its own, or the cluster at RAY_ADDRESS with its token.

Where Ray 2.60 starts a local Ray, it asks for a token and keeps it in ~/.ray/auth_token. From then on
`ray start --head` asks for it too, and clients without RAY_AUTH_MODE=token are refused. A local Ray of ours therefore
gets a token that only this process and its children know, and no file is written. RAY_AUTH_MODE, if it is set, decides
as in Ray.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from r4t_ray.machine.findings import refuse_faults
from r4t_ray.machine.ray_cluster import NO_PROBE, ask, auth_token, check_ray_address, ray_address

MODE, TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"


@contextmanager
def local_ray(**options: Any) -> Iterator[None]:
    """A Ray of this machine that ends with the block; ``options`` go to ray.init."""
    import ray

    with _kept_environment():
        if MODE not in os.environ and auth_token() is None:
            os.environ[TOKEN] = _own_token()
            _read_again()
        ray.init(address="local", **options)
        try:
            yield
        finally:
            ray.shutdown()


@contextmanager
def ray_cluster() -> Iterator[None]:
    """A connection to the cluster at RAY_ADDRESS that ends with the block.

    Raises:
        MachineError: The cluster is not there, has another version of Ray, or refuses the token of this user.
    """
    import ray

    address = ray_address()
    refuse_faults([check_ray_address()])
    with _kept_environment():
        is_probed = address not in NO_PROBE and "://" not in str(address)
        if MODE not in os.environ and is_probed and ask(str(address)).asks_for_token:
            os.environ[MODE] = "token"
            _read_again()
        ray.init()
        try:
            yield
        finally:
            ray.shutdown()


@cache
def _own_token() -> str:
    """One token for the life of this process, because Ray reads it once."""
    return secrets.token_hex(32)


@contextmanager
def _kept_environment() -> Iterator[None]:
    """Restore the variables about tokens that the block, or Ray in it, changed."""
    before = {name: os.environ.get(name) for name in (MODE, TOKEN)}
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        _read_again()


def _read_again() -> None:
    """Let Ray read the variables about tokens again. It reads the mode at import, and keeps the token that it found."""
    from ray import _raylet

    raylet: Any = _raylet  # its names are not declared
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()
