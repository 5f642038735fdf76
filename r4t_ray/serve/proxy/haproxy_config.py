"""A program that changes the configuration which Ray 2.60 writes for HAProxy, and then becomes HAProxy.

It runs as a file, with the standard library alone: ``python -I haproxy_config.py OURS BINARY ... -f CONFIG ...``.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

PR_SET_PDEATHSIG = 1
"""Of <linux/prctl.h>."""
DOWN = {
    "where": "the server",
    "got": "no replica of the gateway that answers",
    "expected": "a server that is up",
    "fix": "try again",
}
LATE = {
    "where": "the request",
    "got": "no whole request in time",
    "expected": "its headers and its body at once",
    "fix": "send it again",
}


class Ours(TypedDict):
    """What the gateway decides: OURS in JSON.

    Attributes:
        host: The address at which HAProxy listens.
        reads: Paths whose POST changes nothing.
        id: Pattern of an X-Request-ID that may be repeated.
        seconds: What a client has for the headers of a request and for what HAProxy keeps of its body, 16 KiB.
    """

    host: str
    reads: Sequence[str]
    id: str
    seconds: float


OPTIONS = (
    "option http-buffer-request",  # it has the whole of a request that it may have to send again
    "option http-server-close",  # over a connection that was used before, the end of a gateway is no 502,
    "http-reuse never",  # but the end of the client's connection without a reply
)
FRONTEND = """\
    acl has_id req.fhdr(X-Request-ID,1) -m reg ^ID$
    tcp-request content set-var(txn.id) uuid()
    tcp-request content set-var(txn.id) req.fhdr(X-Request-ID,1) if has_id
    http-request set-header X-Request-ID %[var(txn.id)]
    # A change of the catalogue is sent once, whatever becomes of the gateway that it reached.
    acl is_read path,rtrim(/) READS
    http-request disable-l7-retry if !METH_GET !is_read
    # Replies of the gateway have an id. A 502 of the gateway stays one.
    http-after-response set-status 503 if { status 502 } !{ res.hdr(X-Request-ID) -m found }
    http-after-response set-header X-Request-ID %[var(txn.id)] if !{ res.hdr(X-Request-ID) -m found }
"""


def adapted(config: str, ours: Ours) -> str:
    """The configuration, changed.

    - HAProxy listens at ``ours["host"]``, and nowhere with its statistics. Gateways listen at 127.0.0.1.
    - Errors of HAProxy have the JSON form of the gateway's errors. A server that is down is a 503.
    - A read whose gateway died before it replied is sent again if HAProxy has all of it. A change is not.
    - Headers or a body that never come are no request. HAProxy answers what is not
      HTTP, and headers of more than 15 KiB, with a page of its own.

    Raises:
        ValueError: The configuration has another form than that of Ray 2.60.
    """
    down = f"{in_json(DOWN)} hdr Retry-After 1"
    defaults = [*OPTIONS, f"timeout http-request {ours['seconds']:g}s"]
    defaults += [f"http-error status {status} {down}" for status in (502, 503, 504)]
    defaults += [f"http-error status 408 {in_json(LATE)}"]
    config = re.sub(r"(?m)^(frontend prometheus|listen stats)\n(?:\s+.*\n)*", "", config)
    config = re.sub(r"(?m)^\s*(errorfile 50[234] .*|http-reuse always)\n", "", config)
    place = f"ipv6@{ours['host']}" if ":" in ours["host"] else ours["host"]
    frontend = FRONTEND.replace("^ID$", f"^{ours['id']}$").replace("READS", " ".join(ours["reads"]))
    for pattern, added in {
        r"^(defaults\n)": r"\1" + "".join(f"    {line}\n" for line in defaults),
        r"^(frontend http_frontend\n)\s*bind .*:(\d+)\n": rf"\1    bind {place}:\2" + f"\n{frontend}",
        r"^(backend default_backend\n)": rf"\1    http-request return status 503 {down}" + "\n",
    }.items():
        places = list(re.finditer(pattern, config, re.MULTILINE))
        if len(places) != 1:
            raise ValueError(f"{len(places)} places {pattern!r} in the configuration of HAProxy; expected 1")
        (found,) = places
        config = config[: found.start()] + found.expand(added) + config[found.end() :]
    return config


def in_json(error: dict[str, str]) -> str:
    """The type and the body of a reply with an error in the JSON form."""
    body = json.dumps({"request_id": "%[var(txn.id)]", "error": error})
    return f"content-type application/json lf-string '{body}'"


def main(ours: str, *arguments: str) -> None:
    """Change the file after ``-f``, and become HAProxy, which ends when the process ends that started it."""
    path = Path(arguments[arguments.index("-f") + 1])
    path.write_text(adapted(path.read_text(encoding="utf-8"), json.loads(ours)), encoding="utf-8")
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    os.execv(arguments[0], arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
