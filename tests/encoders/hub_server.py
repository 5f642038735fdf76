"""A model hub on this machine: the calls by which huggingface_hub finds and fetches the files of a public model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.local_server import in_a_thread

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(ThreadingHTTPServer):
    """Serves folders as models: id -> folder. ``seen`` has the method and path of each request."""

    def __init__(self, models: Mapping[str, Path]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.models = models
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self.server.seen.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0].strip("/")
        for model_id, folder in self.server.models.items():
            if path.startswith(f"api/models/{model_id}"):
                return self._describe(model_id, folder, path)
            revision, _, name = path.removeprefix(f"{model_id}/resolve/").partition("/")
            if revision in ("main", COMMIT) and path.startswith(f"{model_id}/resolve/"):
                return self._send_file(folder / name)
        return self._send(404, b"{}", {"x-error-code": "RepoNotFound"})

    do_HEAD = do_GET

    def _describe(self, model_id: str, folder: Path, path: str) -> None:
        """The model's files, as a list of objects below ``tree`` and inside an object elsewhere."""
        names = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
        if "/tree/" in path:
            found: Any = [
                {"type": "file", "path": name, "size": (folder / name).stat().st_size, "oid": COMMIT} for name in names
            ]
        else:
            found = {"id": model_id, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
        self._send(200, json.dumps(found).encode(), {"content-type": "application/json"})

    def _send_file(self, file: Path) -> None:
        if not file.is_file():
            return self._send(404, b"", {"x-error-code": "EntryNotFound", "x-repo-commit": COMMIT})
        data = file.read_bytes()
        headers = {"etag": f'"{hashlib.sha256(data).hexdigest()}"', "x-repo-commit": COMMIT}
        return self._send(200, data, headers)

    def _send(self, status: int, data: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


def serving_models(models: Mapping[str, Path]) -> AbstractContextManager[Hub]:
    """A hub for the time of the block."""
    return in_a_thread(Hub(models))
