"""The workspace that a server answers from. Another one takes its place while requests are answered.

``live/serving.json`` in the workspace with which the server started names the folder beside it that is served. A
request is answered from one version, from its start to its end.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from r4t_ray.artifacts import Workspace
from r4t_ray.catalogue import embedding_field
from r4t_ray.errors import ArtifactError, RequestError
from r4t_ray.files import flush, write_json
from r4t_ray.live.log import LIVE
from r4t_ray.retrieval.live.tasks import LiveTasks, signature
from r4t_ray.retrieval.loading import open_tasks, shard_rows
from r4t_ray.retrieval.settings import RetrievalSettings
from r4t_ray.types import IndexName

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Version:
    """A workspace that is open in this process.

    Attributes:
        root: Its folder, an absolute path.
        live: Its tasks.
        rows: Index -> first pool row of each deployed shard, and the row after its last.
        embedding_field: The field in which records may bring vectors.
    """

    root: str
    live: LiveTasks
    rows: Mapping[IndexName, list[tuple[int, int]]]
    embedding_field: str | None = None


def open_version(workspace: Workspace, settings: RetrievalSettings, deployed: Collection[IndexName]) -> Version:
    """Verify and open a workspace.

    Args:
        workspace: The workspace.
        settings: Sampler settings.
        deployed: The indexes whose shards other processes search. Without any, this process loads all shards.

    Raises:
        ArtifactError: A file is missing or changed, or made from other inputs.
    """
    tasks, shards = open_tasks(workspace, settings, with_index=not deployed)
    rows = {name: shard_rows(workspace, name) for name in deployed if name in shards}
    live = LiveTasks(workspace, tasks, shards)
    return Version(root=str(workspace.root), live=live, rows=rows, embedding_field=embedding_field(workspace))


class Loaded(dict[str, T]):
    """What this process loaded, by the folder of the workspace. What is missing is loaded when it is read.

    Args:
        load: Loads one workspace.
    """

    def __init__(self, load: Callable[[Workspace], T]) -> None:
        super().__init__()
        self._load, self._guard = load, threading.Lock()

    def __missing__(self, root: str) -> T:
        with self._guard:
            if root not in self:
                self[root] = self._load(Workspace(root))
            return self[root]

    def keep(self, root: str) -> None:
        """Forget every other workspace."""
        for other in set(self) - {root}:
            self.pop(other, None)


class Versions:
    """The version that is served, kept up with the file that names it.

    Args:
        first: The workspace with which the server started.
        open_version: Opens a workspace.

    Raises:
        ArtifactError: The workspace that is served cannot be used.
    """

    def __init__(self, first: Workspace, open_version: Callable[[Workspace], Version]) -> None:
        self._first, self._guard = first, threading.Lock()
        self.opened = Loaded(open_version)
        self.path, self.seen = serving_path(first), signature(serving_path(first))
        self.current = self.opened[str(served_workspace(first).root)]

    def update(self) -> Version:
        """Read the file, and open the workspace that it names if that was not prepared.

        Raises:
            ArtifactError: The workspace cannot be used. The next request tries again.
        """
        with self._guard:
            found = signature(self.path)
            if found != self.seen:
                self.current = self.opened[str(served_workspace(self._first).root)]
                self.seen = found
        return self.current


def serving_path(first: Workspace) -> Path:
    """The file that names the workspace that is served."""
    return first.root / LIVE / "serving.json"


def served_workspace(first: Workspace) -> Workspace:
    """The workspace that is served in place of the one with which the server started, or that one.

    Raises:
        ArtifactError: The file names no folder beside it.
    """
    path = serving_path(first)
    try:
        return beside(first, json.loads(path.read_text(encoding="utf-8"))["workspace"])
    except FileNotFoundError:
        return first
    except (ValueError, KeyError, TypeError) as error:
        got = error.got if isinstance(error, RequestError) else f"unreadable ({error})"
        fix = f"remove the file to serve {first.root.name}, or put the folder back"
        raise ArtifactError(str(path), got, f"the name of a folder in {first.root.parent}", fix) from None


def beside(first: Workspace, name: str) -> Workspace:
    """The workspace of that name in the folder in which ``first`` is; raises RequestError if there is none.

    A name with a path, or of a link that leads elsewhere, is refused.
    """
    found = Workspace(first.root.parent / name)
    if found.root != first.root.parent / name or found.root.parent != first.root.parent or not found.root.is_dir():
        fix = "make it there, or start a server with --workspace"
        raise RequestError("workspace", repr(name), f"the name of a folder beside {first.root.name}", fix)
    return found


def serve_from(first: Workspace, target: Workspace) -> None:
    """Name the workspace that is served, on the disk, at once. Raises OSError."""
    path = serving_path(first)
    path.parent.mkdir(exist_ok=True)
    write_json(path, {"workspace": target.root.name})
    flush(path.parent)
