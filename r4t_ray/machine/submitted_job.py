"""The copy of a folder in which a submitted Ray job runs. It lacks the files that .gitignore and .rayignore name."""

from __future__ import annotations

from pathlib import Path

from r4t_ray.errors import ConfigError, DataError, R4TError

COPIES, COPY = "working_dir_files", "_ray_pkg_"
"""Names of the folder of all copies, and of the beginning of a copy's name."""
MISSING = ("no such", "no file", "no path")


def is_submitted_copy(folder: Path) -> bool:
    """Whether the folder is a copy that `ray job submit --working-dir` made, or below one."""
    return any(each.parent.name == COPIES and each.name.startswith(COPY) for each in (folder, *folder.parents))


def say_what_was_left_out(fault: R4TError, folder: Path) -> R4TError:
    """The fault; if a file is missing in a job's copy, say why it may be missing there and what to do."""
    is_missing = isinstance(fault, DataError | ConfigError) and any(word in fault.got.lower() for word in MISSING)
    if not is_missing or not is_submitted_copy(folder):
        return fault
    return type(fault)(
        fault.where,
        f"{fault.got} in the copy of the submitted folder, from which `ray job submit` leaves out what .gitignore and "
        ".rayignore name",
        fault.expected,
        f"{fault.fix}: an absolute path on a file system that every node mounts; or submit with "
        "RAY_RUNTIME_ENV_IGNORE_GITIGNORE=1, which copies what .gitignore names",
    )
