"""Files of API keys, and the addresses that need one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from r4t_ray.errors import ConfigError
from r4t_ray.serve.args import AppArgs
from r4t_ray.serve.keys import KEYS_VARIABLE, Key, load_keys, scopes_of
from r4t_ray.serve.server import require_key

SHA256 = hashlib.sha256(b"k1").hexdigest()


def test_keys_come_from_the_file_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_keys(None) == ()
    file = tmp_path / "keys"
    file.write_text(f"# old\n\nread {SHA256}\nadmin  {'A' * 64} # Ann\n", encoding="utf-8")
    assert load_keys(file) == (Key("read", SHA256), Key("admin", "a" * 64))
    monkeypatch.setenv(KEYS_VARIABLE, f"read {'b' * 64},admin {'c' * 64}")
    assert load_keys(None) == (Key("read", "b" * 64), Key("admin", "c" * 64))
    assert len(load_keys(file)) == 4
    assert scopes_of("k1", load_keys(file)) == {"read"}
    assert scopes_of("k2", load_keys(file)) == set()


@pytest.mark.parametrize("line", ["my-plain-key", f"write {SHA256}", f"read {SHA256[:-1]}", f"{SHA256}"])
def test_a_line_of_another_form_is_refused_and_not_repeated(tmp_path: Path, line: str) -> None:
    file = tmp_path / "keys"
    file.write_text(f"read {SHA256}\n{line}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="line 2: got another form") as caught:
        load_keys(file)
    assert line not in str(caught.value)
    with pytest.raises(ConfigError, match="FileNotFoundError"):
        load_keys(tmp_path / "nowhere")
    file.write_text("# none\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="got no key"):
        load_keys(file)


def test_other_machines_need_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        require_key(host, AppArgs(), is_insecure=False)
    for host in ("0.0.0.0", "::", "192.0.2.7", "localhost.example.org", "127.0.0.1.example.org"):
        with pytest.raises(ConfigError, match="no API key"):
            require_key(host, AppArgs(), is_insecure=False)
        require_key(host, AppArgs(), is_insecure=True)
    monkeypatch.setenv(KEYS_VARIABLE, f"read {SHA256}")
    require_key("0.0.0.0", AppArgs(), is_insecure=False)
