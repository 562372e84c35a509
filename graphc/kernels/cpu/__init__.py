"""Kernels for the CPU: texts, machine code, programs. Numba is imported only when something is compiled."""
