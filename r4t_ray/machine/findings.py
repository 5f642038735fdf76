"""What a check of the machine found. `r4t doctor` prints every finding; the start of a command refuses the faults."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from r4t_ray.errors import MachineError

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One line of the diagnosis.

    Attributes:
        name: What was looked at.
        value: What was found.
        fix: The next step; empty if there is no fault.
        required: Whether no work can be done before it is fixed.
        expected: What would be accepted, for the error of a required fault.
    """

    name: str
    value: str
    fix: str = ""
    required: bool = False
    expected: str = "a machine that r4t_ray can run on"


def refuse_faults(findings: Iterable[Finding]) -> None:
    """Raise MachineError for the first required fault, and log the other faults as warnings."""
    for finding in findings:
        if finding.fix and finding.required:
            raise MachineError(finding.name, finding.value, finding.expected, finding.fix)
        if finding.fix:
            _logger.warning("%s: %s; %s", finding.name, finding.value, finding.fix)
