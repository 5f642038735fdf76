"""The error tree. Every message has four parts: where, got, expected, and the next step.

R4TError
├── ConfigError            (ValueError)         a setting a person wrote
├── DataError              (ValueError)         a catalogue, file or column a person brought
├── RequestError           (ValueError)         a query a person sent
├── DeadlineError          (TimeoutError)       a query without an answer in time
├── ArtifactError          (RuntimeError)       a stage's output that is changed, truncated or stale
│   └── MissingArtifactError (FileNotFoundError)  a stage that has not run
├── MachineError           (RuntimeError)       what this machine, its network or the cluster lacks
├── EngineError            (RuntimeError)       a generation engine that failed or is not installed
└── RewardError            (RuntimeError)       a reward that could not be computed
"""

from __future__ import annotations


class R4TError(Exception):
    """Base of all errors meant for people.

    Args:
        where: File, column, option or endpoint in which the fault lies.
        got: What was found there.
        expected: What would have been accepted.
        fix: The next step, a command where there is one.
    """

    def __init__(self, where: str, got: str, expected: str, fix: str) -> None:
        super().__init__(where, got, expected, fix)
        self.where, self.got, self.expected, self.fix = where, got, expected, fix

    def __str__(self) -> str:
        return f"{self.where}: got {self.got}; expected {self.expected}; {self.fix}"


class ConfigError(R4TError, ValueError):
    """A setting that cannot be used."""


class DataError(R4TError, ValueError):
    """Input data that cannot be used."""


class RequestError(R4TError, ValueError):
    """A query that cannot be answered; HTTP 4xx at the gateway."""


class DeadlineError(R4TError, TimeoutError):
    """A query that was not answered within its deadline; HTTP 504 at the gateway."""


class ArtifactError(R4TError, RuntimeError):
    """A stage's output that was changed, truncated, or made from other inputs."""


class MissingArtifactError(ArtifactError, FileNotFoundError):
    """A stage's output that is not there."""


class MachineError(R4TError, RuntimeError):
    """Something that this machine, its network or the cluster lacks."""


class EngineError(R4TError, RuntimeError):
    """A generation engine that failed or is not installed."""


class RewardError(R4TError, RuntimeError):
    """A reward that could not be computed."""
