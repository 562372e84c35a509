"""Addresses of the matrix products in SciPy's BLAS library.

SciPy's wheels carry OpenBLAS as a file of its own, which can be opened without importing ``scipy.linalg`` (0.15 s
of a warm start). Elsewhere the functions come from ``scipy.linalg.cython_blas``.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
from pathlib import Path

from graphc.errors import KernelError

__all__ = ["gemm_address", "set_threads"]


@functools.cache
def _library() -> tuple[ctypes.CDLL, str] | None:
    """OpenBLAS as shipped with SciPy, and the prefix of its names."""
    spec = importlib.util.find_spec("scipy")
    if spec is None or spec.origin is None:
        raise KernelError("matrix products need SciPy, which is not installed: pip install scipy")
    for path in sorted((Path(spec.origin).parents[1] / "scipy.libs").glob("libscipy_openblas*")):
        if "64_" in path.name:
            continue  # 64-bit integers: another interface
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for prefix in ("scipy_", ""):
            if hasattr(library, f"{prefix}sgemm_"):
                return library, prefix
    return None


@functools.cache
def gemm_address(dtype: str) -> int:
    """Address of Fortran ``sgemm`` or ``dgemm`` with 32-bit integers."""
    name = {"float32": "sgemm", "float64": "dgemm"}[dtype]
    found = _library()
    if found is not None:
        library, prefix = found
        return ctypes.cast(getattr(library, f"{prefix}{name}_"), ctypes.c_void_p).value or 0
    capsule = importlib.import_module("scipy.linalg.cython_blas").__pyx_capi__[name]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    return api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))


def set_threads(count: int) -> None:
    """Let matrix products use this many threads, for the whole process."""
    found = _library()
    if found is not None:
        library, prefix = found
        setter = getattr(library, f"{prefix}openblas_set_num_threads", None)
        if setter is not None:
            setter(ctypes.c_int(count))
