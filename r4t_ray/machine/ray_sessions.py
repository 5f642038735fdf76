"""Connections to Ray: a local Ray with a token of its own, or the cluster at RAY_ADDRESS with its token.

Where Ray 2.60 starts a local Ray, it asks for a token and keeps it in ~/.ray/auth_token. From then on
`ray start --head` asks for it too, and clients without RAY_AUTH_MODE=token are refused. A local Ray of ours therefore
gets a token that only this process and its children know, and no file is written. RAY_AUTH_MODE, if it is set, decides
as in Ray.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from r4t_ray.machine.findings import refuse_faults
from r4t_ray.machine.folders import check_home, check_shared_memory, check_temporary_folder, check_user
from r4t_ray.machine.ray_cluster import NO_PROBE, ask, auth_token, check_ray_address, ray_address

MODE, TOKEN = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"
MALLOC_OPTIONS = {"TRIM_THRESHOLD": (-1, 2**30), "MMAP_THRESHOLD": (-3, 2**25)}
"""Options of glibc's mallopt: name -> (number, bytes). By default glibc gives a freed tensor of some megabytes back to
the kernel. The page faults of the next tensor then take a fifth of a small training step on the CPU."""


@contextmanager
def connected_to_ray() -> Iterator[None]:
    """Connect to Ray: the caller's connection, the cluster at RAY_ADDRESS, or a local Ray that ends with the block."""
    import ray.data

    # A fault in a Ray Data worker arrives here as it was raised, so that find_fault recognises it.
    ray.data.DataContext.get_current().raise_original_map_exception = True
    if ray.is_initialized():
        yield
    elif ray_address():
        with ray_cluster():
            yield
    else:
        keep_freed_memory()
        # Ray Train asks the dashboard whether its controller lives. Without a dashboard it warns every second.
        with local_ray(include_dashboard=True):
            yield


def keep_freed_memory() -> None:
    """Set ``MALLOC_OPTIONS`` for this process and its children, if the C library is glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    for name, (number, size) in MALLOC_OPTIONS.items():
        os.environ.setdefault(f"MALLOC_{name}_", str(size))
        if mallopt is not None:
            mallopt(number, int(os.environ[f"MALLOC_{name}_"]))


@contextmanager
def local_ray(**options: Any) -> Iterator[None]:
    """A Ray of this machine that ends with the block; ``options`` go to ray.init.

    Raises:
        MachineError: Ray cannot start on this machine.
    """
    import ray

    refuse_faults([check_home(), check_user(), check_temporary_folder(), check_shared_memory()])
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
