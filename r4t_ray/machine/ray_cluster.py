"""The cluster at RAY_ADDRESS, checked before Ray connects. Ray itself waits for minutes and ends with a traceback.

One call of the cluster's control store (GCS) tells if it is there, which version it has, and if it asks for a token.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from typing import Any

from r4t_ray.machine.findings import Finding

NAME = "RAY_ADDRESS"
NO_PROBE = ("auto", "local")
"""Values of RAY_ADDRESS that name no address."""
DASHBOARD_PORT = "8265"
ANSWER_S = 10.0
HEAD = "run `ray start --head --port=6379` on the head, and set RAY_ADDRESS=HEAD:6379 on a node of the cluster"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """The answer of a control store: its version of Ray, or the reason why it gave none."""

    version: str = ""
    asks_for_token: bool = False
    problem: str = ""


def ray_address() -> str | None:
    """RAY_ADDRESS, or None if it is not set or empty: commands then start a local Ray."""
    return os.environ.get(NAME, "").strip() or None


def check_ray_address() -> Finding:
    """Whether the cluster at RAY_ADDRESS is there, has this version of Ray, and takes this user's token."""
    address = ray_address()
    if address is None:
        return Finding(name="ray cluster", value="RAY_ADDRESS is not set: each command starts a local one")
    if address in NO_PROBE or address.startswith("ray://"):
        return Finding(name=NAME, value=address)
    if fault := _check_form(address):
        return fault
    answer = ask(address)
    if answer.problem:
        return _fault(f"{address}, {answer.problem}", HEAD)
    return _check_answer(address, answer)


def _check_answer(address: str, answer: Answer) -> Finding:
    if answer.asks_for_token:
        token = auth_token()
        how = "copy the head's ~/.ray/auth_token here, or set RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH"
        if token is None:
            return _fault(f"{address}, which asks for a token, and there is none here", how)
        answer = ask(address, token)
        if answer.asks_for_token or answer.problem:
            return _fault(f"{address}, which refuses the token of this user", how)
    from ray import __version__ as version

    if answer.version and answer.version != version:
        return _fault(
            f"{address} with Ray {answer.version}, and Ray {version} here", f"install Ray {version} on every node"
        )
    return Finding(name=NAME, value=address)


def ask(address: str, token: str | None = None) -> Answer:
    """Ask the control store at HOST:PORT if it is alive; never raises."""
    import grpc
    from ray.core.generated import gcs_service_pb2

    messages: Any = gcs_service_pb2
    host, _, port = address.rpartition(":")
    try:
        # A name that is not known, or a port that nobody listens at, is told at once.
        with socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S):
            pass
    except OSError as error:
        return Answer(problem=f"where nothing answers ({error.strerror or error})")
    metadata = (("authorization", f"Bearer {token}"),) if token else ()
    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:
        call: Any = channel.unary_unary(
            "/ray.rpc.NodeInfoGcsService/CheckAlive",
            request_serializer=messages.CheckAliveRequest.SerializeToString,
            response_deserializer=messages.CheckAliveReply.FromString,
        )
        try:
            return Answer(version=call(messages.CheckAliveRequest(), timeout=ANSWER_S, metadata=metadata).ray_version)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.UNAUTHENTICATED:
                return Answer(asks_for_token=True)
            return Answer(problem=f"where no control store of Ray answers ({error.code().name.lower()})")


def auth_token() -> str | None:
    """The token that Ray would send: RAY_AUTH_TOKEN, the file RAY_AUTH_TOKEN_PATH, or ~/.ray/auth_token."""
    from ray import _raylet

    raylet: Any = _raylet  # its names are not declared
    token = raylet.AuthenticationTokenLoader.instance().get_raw_token(ignore_auth_mode=True)
    return str(token) if token else None


def _check_form(address: str) -> Finding | None:
    """The fault of an address that is not HOST:PORT of a control store, or None."""
    if address.startswith(("http://", "https://")) or address.endswith(f":{DASHBOARD_PORT}"):
        server = address if "://" in address else f"http://{address}"
        return _fault(
            f"{address}, the address of the dashboard and the job server",
            f"submit a job: `ray job submit --address {server} --working-dir . -- COMMAND`; or {HEAD}",
        )
    if not re.fullmatch(r"[^/:\s]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", address):
        return _fault(f"{address}, which is not HOST:PORT", HEAD)
    return None


def _fault(value: str, fix: str) -> Finding:
    expected = "HOST:PORT of the control store of a running cluster, auto, or not set"
    return Finding(name=NAME, value=value, fix=fix, required=True, expected=expected)
