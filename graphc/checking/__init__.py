"""Checking hand-derived gradients: reading claims, comparing to 60 digits, proving, naming the mistake."""

from graphc.checking.conventions import Conventions
from graphc.checking.points import Counterexample
from graphc.checking.report import Finding, Report, check

__all__ = ["Conventions", "Counterexample", "Finding", "Report", "check"]
