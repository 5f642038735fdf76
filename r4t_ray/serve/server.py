"""A server on one machine, with a Ray cluster that this process starts and stops."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

from r4t_ray.endpoints.loopback import is_loopback
from r4t_ray.errors import ConfigError
from r4t_ray.machine.findings import refuse_faults
from r4t_ray.machine.folders import check_home, check_shared_memory, check_temporary_folder, check_user
from r4t_ray.machine.ray_sessions import local_ray
from r4t_ray.machine.threads import let_threads_sleep
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.keys import load_keys
from r4t_ray.serve.proxy.haproxy import haproxy_settings
from r4t_ray.serve.proxy.layers import add_to_proxy

_logger = logging.getLogger(__name__)


def serve_workspace(
    workspace: Path,
    host: str = "127.0.0.1",
    port: int = 8000,
    args: AppArgs | None = None,
    *,
    is_insecure: bool = False,
) -> None:
    """Serve a workspace from a Ray cluster of this machine until SIGINT or SIGTERM.

    The cluster asks its clients for a token that only its own processes know, unless RAY_AUTH_MODE says otherwise.

    Args:
        workspace: Folder of the experiment's artifacts.
        host: Address to bind. The default is reachable from this machine only.
        port: Port to bind.
        args: The application's arguments; their ``workspace`` is replaced.
        is_insecure: Whether other machines may ask without an API key.

    Raises:
        ConfigError: The address cannot be bound, or other machines reach it and there is no API key.
        MachineError: Ray cannot be started on this machine.
        ArtifactError: The workspace cannot be served.
    """
    add_to_proxy()  # Ray reads the environment when it is imported and when it starts
    let_threads_sleep()
    import ray

    args = args or AppArgs()
    require_key(host, args, is_insecure)
    check_address(host, port)
    refuse_faults([check_home(), check_user(), check_temporary_folder(), check_shared_memory()])
    with nullcontext(False) if ray.is_initialized() else haproxy_settings(host) as has_haproxy:
        inside = {"host": "127.0.0.1" if has_haproxy else host, "port": port}
        _serve(args.model_copy(update={"workspace": str(workspace)}), inside, f"http://{host}:{port}")


def _serve(args: AppArgs, http_options: dict[str, Any], url: str) -> None:
    """Serve from the Ray of this process, or from one that is started for it, until a signal."""
    import ray
    from ray import serve

    from r4t_ray.serve.app import build_app

    app = build_app(args)
    options = {"include_dashboard": False, "log_to_driver": False, "_node_ip_address": "127.0.0.1"}
    with nullcontext() if ray.is_initialized() else local_ray(**options):
        try:
            with _stop_signals() as stop:
                serve.start(http_options=http_options)
                serve.run(app)
                _logger.info("serving %s at %s (docs at /docs); Ctrl-C stops", args.workspace, url)
                stop.wait()
        finally:
            serve.shutdown()


def require_key(host: str, args: AppArgs, is_insecure: bool) -> None:
    """Raise ConfigError if other machines reach the address ``host`` and may ask without an API key."""
    address = f"http://[{host}]/" if ":" in host else f"http://{host}/"
    if not (is_loopback(address) or is_insecure or load_keys(args.api_keys_file)):
        raise ConfigError(
            "--host",
            f"{host}, which other machines reach, and no API key",
            "127.0.0.1, or an API key",
            "set serve.api_keys_file or R4T_API_KEYS (docs/serving.md), or add --insecure behind a proxy that checks",
        )


def check_address(host: str, port: int) -> None:
    """Raise ConfigError unless ``host:port`` can be bound now."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise ConfigError(
            f"{host}:{port}", str(error), "an address of this machine and a free port", "choose another --port"
        ) from None


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set. The old signal handlers are restored at the end."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        stop.set()

    former: dict[int, Any] = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
