"""The judge against a real vLLM server that speaks the OpenAI protocol, on the CPU."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from r4t_ray.encoders import resolve_model
from r4t_ray.rewards import PoolEntry
from r4t_ray.rewards.judge import JudgeConfig
from tests.rewards.batches import answers_of_rows

KEY = "R4T_TEST_JUDGE_KEY"
START_SECONDS = 240
TEMPLATE = "{% for message in messages %}<oar>{{ message['content'] }}{% endfor %}"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Base URL of a server with the shipped base model. It cannot judge, but guided decoding ensures the form."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "template.jinja").write_text(TEMPLATE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "model": resolve_model("package:r4t_ray/folm/base_model"),
        "served-model-name": "judge",
        "chat-template": folder / "template.jinja",
        "host": "127.0.0.1",
        "port": port,
        "dtype": "float32",
        "max-model-len": 1024,
        "max-num-seqs": 8,
        "api-key": "a-secret",
        "structured-outputs-config": '{"backend": "xgrammar", "disable_any_whitespace": true}',
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    environment = {**os.environ, "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "vllm.entrypoints.openai.api_server", *words, "--enforce-eager"],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/health", process, folder / "log.txt")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=60)


def wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()[-4000:]
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-4000:])


def test_a_real_server_grades_every_set_in_the_requested_form(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "a-secret")
    judge = JudgeConfig(type="judge", base_url=server, model="judge", api_key_env=KEY, timeout_s=120).build(1.0)
    rows = [[0, 1], [1, 0], [2, 3], [4, -1], [-1, -1]]
    pool = [PoolEntry(text=name, attributes={}) for name in ("lemon", "salt", "rice", "olive oil", "basil")]
    parts = judge(answers_of_rows(rows, [("x",)] * 5, pool))
    assert parts["calls"].tolist() == [1, 0, 1, 1, 0]
    assert parts["failed"].tolist() == [0, 0, 0, 0, 0]
    assert parts["reward"][0] == parts["reward"][1]
    assert ((parts["reward"] >= 0) & (parts["reward"] <= 1)).all()
    assert parts["reward"][4] == 0
