"""Faults of the machine in the words of libraries: the cause and the fix in ours, and bugs left alone."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import httpx
import huggingface_hub.errors as hub_errors
import pytest

from r4t_ray.errors import MachineError
from r4t_ray.machine.hub import check_hub_cache
from r4t_ray.machine.library_faults import fault_of, in_our_words, require_hub_model

PROXY_VARIABLES = ("ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "https_proxy", "http_proxy")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXY_VARIABLES, "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        ("socks://127.0.0.1:1", "Unknown scheme"),
        ("ftp://127.0.0.1:1", "Unknown scheme"),
        ("socks5://127.0.0.1:1", "socks"),
    ],
)
def test_a_proxy_that_httpx_refuses(monkeypatch: pytest.MonkeyPatch, proxy: str, expected: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(MachineError, match=expected) as caught, in_our_words("http://far/v1"):
        httpx.Client()
    assert f"ALL_PROXY={proxy}" in caught.value.got
    assert "unset ALL_PROXY" in caught.value.fix
    assert caught.value.where == "http://far/v1"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_names_the_file(number: int) -> None:
    fault = fault_of(OSError(number, os.strerror(number), "ws/folm.partial/model.safetensors"))
    assert fault is not None
    assert fault.where == "ws/folm.partial/model.safetensors"
    assert "no room" in fault.got


def test_a_full_disk_in_the_words_of_other_libraries() -> None:
    assert "no room" in fault_of(RuntimeError("I/O error: No space left on device (os error 28)")).got


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_file_that_may_not_be_written(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", "/readonly/hf")
    fault = fault_of(OSError(number, os.strerror(number), "/readonly/other"))
    assert fault.where == "/readonly/other"
    assert fault.fix.startswith("change its owner")
    assert fault_of(OSError(number, os.strerror(number), "/readonly/hf/hub/x")).fix.startswith("export HF_HOME=DIR")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_memory(error: Exception) -> None:
    assert "enough memory" in fault_of(error).expected


def test_a_ray_that_did_not_start() -> None:
    fault = fault_of(Exception("The current node timed out during startup. This could happen because"))
    assert "run the command again" in fault.fix
    assert "/ray/session_latest/logs" in fault.fix


@pytest.mark.parametrize(
    "error", [ValueError("x"), KeyError("y"), FileNotFoundError(2, "No such file", "z"), OSError("odd"), IndexError()]
)
def test_bugs_are_left_alone(error: Exception) -> None:
    assert fault_of(error) is None
    with pytest.raises(type(error)), in_our_words("here"):
        raise error


def bug_in_a_handler() -> None:
    try:
        raise PermissionError(errno.EACCES, "Permission denied", "file")
    except PermissionError:
        {}["bug"]


def test_a_bug_met_while_a_fault_is_handled_is_a_bug() -> None:
    with pytest.raises(KeyError) as caught:
        bug_in_a_handler()
    assert fault_of(caught.value) is None


def test_a_model_that_is_not_in_the_cache_while_offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")  # the tests run with it, and the library read it at import
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(MachineError, match="HF_HUB_OFFLINE=1 forbids") as caught:
        require_hub_model("nobody/no-such-model", "encoder.model 'nobody/no-such-model'")
    assert caught.value.where == "encoder.model 'nobody/no-such-model'"
    assert "unset HF_HUB_OFFLINE" in caught.value.fix


def ask_a_hub_that_is_gone() -> None:
    try:
        raise httpx.ConnectError("[Errno 111] Connection refused")
    except httpx.ConnectError as refused:
        raise hub_errors.LocalEntryNotFoundError("cannot find the file") from refused


def test_a_hub_that_is_not_reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(MachineError) as caught, in_our_words("folm.base_model 'a/b'"):
        ask_a_hub_that_is_gone()
    assert "no answer of http://127.0.0.1:9 ([Errno 111] Connection refused)" in caught.value.got
    assert "HTTPS_PROXY" in caught.value.fix


def test_the_words_of_transformers() -> None:
    error = OSError("We couldn't connect to 'https://huggingface.co' to load the files, and couldn't find them")
    assert "no answer of https://huggingface.co" in fault_of(error, "folm.base_model 'a/b'").got


@pytest.mark.parametrize("kind", ["GatedRepoError", "RepositoryNotFoundError"])
def test_a_model_that_this_user_may_not_see(kind: str) -> None:
    refused = type(kind, (OSError,), {})("401 Client Error")
    assert "hf auth login" in fault_of(refused, "encoder.model 'a/b'").fix


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE"])
def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "/proc/none/at/all")
    finding = check_hub_cache()
    assert finding.required
    assert "export HF_HOME=DIR" in finding.fix
    assert "cannot be written by user id" in finding.value
