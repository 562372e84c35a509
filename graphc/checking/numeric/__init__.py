"""Numeric gradient checks: slopes by differences against gradients of graphs, compiled steps and functions."""

from graphc.checking.numeric.check import check_gradients
from graphc.checking.numeric.report import GradientFinding, GradientReport, Sample

__all__ = ["GradientFinding", "GradientReport", "Sample", "check_gradients"]
