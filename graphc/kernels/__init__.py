"""Kernels and the steps that run them; the only floor that knows numba."""

from graphc.kernels.compile import Step, compile

__all__ = ["Step", "compile"]
