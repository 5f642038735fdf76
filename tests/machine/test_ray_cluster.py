"""RAY_ADDRESS: wrong forms and silent addresses are told at once. tests/jobs meets real clusters."""

from __future__ import annotations

import socket

import pytest

from r4t_ray.machine.findings import Finding
from r4t_ray.machine.ray_cluster import check_ray_address, ray_address


def check(monkeypatch: pytest.MonkeyPatch, address: str) -> Finding:
    monkeypatch.setenv("RAY_ADDRESS", address)
    return check_ray_address()


@pytest.mark.parametrize("address", ["http://head:8265", "https://head", "head:8265"])
def test_the_job_server_is_no_cluster_address(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    finding = check(monkeypatch, address)
    assert finding.required
    assert (
        f"ray job submit --address {address if '://' in address else 'http://head:8265'} --working-dir" in finding.fix
    )
    assert "RAY_ADDRESS=HEAD:6379" in finding.fix


@pytest.mark.parametrize("address", ["head", "head:port", "a b:6379", "redis://head:6379", "head:6379/x"])
def test_an_address_has_a_host_and_a_port(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    finding = check(monkeypatch, address)
    assert finding.required
    assert "is not HOST:PORT" in finding.value


def test_an_address_where_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        finding = check(monkeypatch, f"127.0.0.1:{unused.getsockname()[1]}")
    assert "where nothing answers (Connection refused)" in finding.value
    assert "ray start --head --port=6379" in finding.fix


def test_a_host_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "where nothing answers" in check(monkeypatch, "no-such-host.invalid:6379").value


def test_a_port_of_another_program(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("r4t_ray.machine.ray_cluster.ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as other:
        finding = check(monkeypatch, f"127.0.0.1:{other.getsockname()[1]}")
    assert finding.required
    assert "where no control store of Ray answers" in finding.value


@pytest.mark.parametrize("address", ["", " ", "auto", "local"])
def test_without_an_address_there_is_nothing_to_ask(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    assert not check(monkeypatch, address).fix
    assert (ray_address() is None) == (not address.strip())
