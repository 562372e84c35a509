"""Checking hand-derived gradients: reading claims, comparing to 60 digits, proving, naming the mistake."""

from graphc.checking.conventions import Conventions
from graphc.checking.derivation import Derivation, Step, check_derivation
from graphc.checking.diagnosis import Diagnosis, Explanation
from graphc.checking.points import Counterexample
from graphc.checking.report import Finding, Report, check

__all__ = [
    "Conventions",
    "Counterexample",
    "Derivation",
    "Diagnosis",
    "Explanation",
    "Finding",
    "Report",
    "Step",
    "check",
    "check_derivation",
]
