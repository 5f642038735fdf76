"""Faults of the machine that libraries raise in their own words, in ours: the one place where they are recognised.

The exceptions are known by the names of their classes, by ``errno`` and by words of their messages. So nothing is
imported, and an exception that Ray carried here from another process is recognised too.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from r4t_ray.errors import MachineError, R4TError
from r4t_ray.machine.folders import temporary_folder
from r4t_ray.machine.hub import cache_folder, hub_fault

PROXIES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY")
NO_ROOM = ("No space left on device", "Disk quota exceeded")
NO_START = ("timed out during startup", "Failed to start the dashboard")
NO_MEMORY = ("out of memory", "can't allocate memory", "Cannot allocate memory", "running low on memory")


def fault_of(error: BaseException, where: str = "") -> R4TError | None:
    """The fault of the machine behind an exception, or None: then it is a bug, and keeps its traceback.

    Args:
        error: The exception; its causes are looked at too.
        where: The setting or the command that met it. Default: the library's own place, such as a file.
    """
    for recognise in RECOGNISERS:
        for each in causes(error):
            if fault := recognise(each, where):
                return fault
    return hub_fault(list(causes(error, with_context=True)), where or "a model of the hub")


@contextmanager
def in_our_words(where: str = "") -> Iterator[None]:
    """Raise the fault behind an exception of the block in its place. Other exceptions pass."""
    try:
        yield
    except Exception as error:
        fault = None if isinstance(error, R4TError) else fault_of(error, where)
        if fault is None:
            raise
        raise fault from error


def require_hub_model(model_id: str, where: str) -> None:
    """Raise MachineError unless the hub's cache has the model, or the hub gives it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    with in_our_words(where):
        try:
            hf_hub_download(model_id, "config.json")
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            return  # a model that keeps its settings elsewhere; its loader decides


def causes(error: BaseException, *, with_context: bool = False) -> Iterator[BaseException]:
    """The exception, and all that it wraps, from the outside to the inside.

    Ray wraps the errors of its tasks and of its training workers. With the context the exceptions that were being
    handled follow too.
    """
    seen: set[int] = set()
    pending: list[object] = [error]
    while pending:
        each = pending.pop(0)
        if not isinstance(each, BaseException) or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        workers = getattr(each, "worker_failures", None) or {}
        pending += [getattr(each, "cause", None), each.__cause__, *workers.values()]
        pending += [each.__context__] if with_context and not each.__suppress_context__ else []


def _no_room(error: BaseException, where: str) -> R4TError | None:
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    if not full and type(error).__name__ != "OutOfDiskError" and not any(text in str(error) for text in NO_ROOM):
        return None
    place = _file_of(error) or where or "the disk of the workspace, of TMPDIR, or /dev/shm"
    return MachineError(
        place,
        f"no room: {_first_line(error)}",
        "some free space",
        "free some space (`df -h . $TMPDIR /dev/shm`) and run the command again; it continues",
    )


def _not_allowed(error: BaseException, where: str) -> R4TError | None:
    if not isinstance(error, OSError) or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
        return None
    file = _file_of(error)
    if not file:
        return None
    is_cached = os.path.abspath(file).startswith(str(cache_folder().parent))
    fix = "export HF_HOME=DIR" if is_cached else "change its owner or mode, or name another place"
    return MachineError(
        f"{where}: {file}" if where else file,
        f"{error.strerror} for user id {os.getuid()}",
        "a file or folder that this user may read and write",
        f"{fix}; HOME, TMPDIR and HF_HOME say where the libraries keep their files",
    )


def _proxy(error: BaseException, where: str) -> R4TError | None:
    text = str(error)
    has_no_socks = "socksio" in text or "Missing dependencies for SOCKS" in text
    if "proxy URL" not in text and not has_no_socks:
        return None
    names = [name for name in PROXIES if os.environ.get(name) or os.environ.get(name.lower())]
    shown = [f"{name}={os.environ.get(name) or os.environ.get(name.lower())}" for name in names]
    fix = "pip install 'httpx[socks]', or " if has_no_socks else ""
    return MachineError(
        where or "proxy",
        f"{_first_line(error)} ({', '.join(shown) or 'from the settings of the system'})",
        "http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT",
        f"{fix}unset {' '.join(names) or 'the proxy'}, or set it to such an address; NO_PROXY=HOST leaves a host out",
    )


def _no_memory(error: BaseException, where: str) -> R4TError | None:
    is_named = type(error).__name__ in ("OutOfMemoryError", "MemoryError")
    if not is_named and not any(text in str(error) for text in NO_MEMORY):
        return None
    return MachineError(
        where or "memory",
        _first_line(error),
        "enough memory for the stage",
        "lower the numbers of actors, batch_size or micro_batch_size, or take a larger machine (see `r4t doctor`)",
    )


def _ray_version(error: BaseException, where: str) -> R4TError | None:
    if "Version mismatch" not in str(error) or "Ray" not in str(error):
        return None
    lines = " ".join(str(error).split())
    return MachineError(where or "Ray", lines[:300], "one version of Ray and Python", "install the same on every node")


def _no_cluster(error: BaseException, where: str) -> R4TError | None:
    name, text = type(error).__name__, str(error)
    asks = name == "AuthenticationError" or "Unauthenticated" in text
    gone = isinstance(error, ConnectionError) and ("Ray" in text or "GCS" in text)
    if not asks and not gone:
        return None
    if asks:
        fix = "copy the head's ~/.ray/auth_token here, and set RAY_AUTH_MODE=token"
        return MachineError(where or "Ray", "a cluster that asks for another token", "the token of the cluster", fix)
    fix = "start it (`ray start --head --port=6379`), correct RAY_ADDRESS, or unset it to start a local Ray"
    return MachineError(where or "RAY_ADDRESS", _first_line(error), "a cluster within reach", fix)


def _no_start(error: BaseException, where: str) -> R4TError | None:
    if not any(text in str(error) for text in NO_START):
        return None
    return MachineError(
        where or "the start of Ray",
        _first_line(error),
        "a machine that starts Ray within half a minute",
        f"close other programs and run the command again; {temporary_folder()}/ray/session_latest/logs has the reason",
    )


def _file_of(error: BaseException) -> str:
    name = getattr(error, "filename", None)
    return os.fsdecode(name) if isinstance(name, str | bytes) else ""


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


RECOGNISERS: tuple[Callable[[BaseException, str], R4TError | None], ...] = (
    _no_room,
    _not_allowed,
    _proxy,
    _no_memory,
    _ray_version,
    _no_cluster,
    _no_start,
)
"""One function for each kind of fault: from one exception and the place that met it to our error, or None."""
