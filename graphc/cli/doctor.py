"""``graphc doctor``: what this machine offers, and what is missing with the command that brings it."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib import metadata, util

from graphc.cli.cache import cache_size, size_text
from graphc.drawing.layout import engine_available
from graphc.errors import KernelError
from graphc.formula.memo import cache_folder

__all__ = ["doctor"]

_REQUIRED = ("numpy", "numba", "scipy", "sympy", "networkx", "graphviz", "rich", "safetensors")
_EXTRAS = {
    "draw": (("pygraphviz", "ziamath", "matplotlib"), "layout by Graphviz, formulas, PNG"),
    "data": (("pooch",), "MNIST and Fashion-MNIST are downloaded once"),
}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _threads() -> str:
    """How many threads a step uses, and why."""
    from graphc.kernels.cpu.threads import available, default_threads

    hand = available()
    processors = f"{hand} processor{'s' if hand > 1 else ''} at hand"
    used = default_threads()
    chosen = os.environ.get("GRAPHC_THREADS")
    if chosen:
        return f"{used} (GRAPHC_THREADS={chosen}); {processors}"
    return f"{used}: {processors}" + (", more only by GRAPHC_THREADS" if hand > used else "")


def _vectors() -> str:
    """Width of a vector, and how many of them kernels keep in registers."""
    from graphc.kernels.cpu.convolution import registers, tile, vector_lanes

    lanes = vector_lanes("float32")
    vectors, maps = tile("convolution", 64)
    chosen = os.environ.get("GRAPHC_VECTOR_BITS")
    width = f"{32 * lanes} bits{f' (GRAPHC_VECTOR_BITS={chosen})' if chosen else ''}: {lanes} floats"
    return f"{width}; {registers()} registers, {vectors} vectors x {maps} maps of them for the sums of a convolution"


def doctor() -> int:
    """Print the report; returns 1 where something needed is missing or a setting cannot be used."""
    import numpy

    from graphc.kernels.cpu.limit import limit

    problems = []
    rows: list[tuple[str, str]] = []
    rows.append(("graphc", _version("graphc") or "not installed (run from its folder)"))
    rows.append(("Python", f"{platform.python_version()} at {sys.executable}"))
    rows.append(("system", f"{platform.system()} {platform.release()}, {platform.machine()}"))
    for name in _REQUIRED:
        version = _version(name)
        rows.append((name, version or "missing: python -m pip install graphc"))
        if version is None:
            problems.append(name)
    configuration = numpy.show_config(mode="dicts") or {}
    blas = configuration.get("Build Dependencies", {}).get("blas", {})
    limits = [f"{n}={os.environ[n]}" for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if n in os.environ]
    rows.append(("BLAS", f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()))
    try:
        rows.append(("threads", _threads()))
    except KernelError as error:
        rows.append(("threads", str(error)))
        problems.append("threads")
    rows.append(("threading", "a pool of its own; OpenMP is not used" + (f" ({', '.join(limits)})" if limits else "")))
    rows.append(("vectors", _vectors()))
    engines = [e for e in ("pygraphviz", "dot", "layered") if engine_available(e)]
    program = shutil.which("dot")
    described = {"layered": "layered (built in)", "dot": f"dot ({program})"}
    rows.append(("layout", ", ".join(described.get(e, e) for e in engines)))
    try:
        count, size = cache_size()
        rows.append(
            ("cache", f"{cache_folder()}: {count} files, {size_text(size)}; kernels up to {size_text(limit())}")
        )
    except KernelError as error:
        rows.append(("cache", str(error)))
        problems.append("cache")
    for extra, (packages, purpose) in _EXTRAS.items():
        missing = [name for name in packages if util.find_spec(name) is None]
        if missing:
            command = f'python -m pip install "graphc[{extra}]"'
            rows.append((f"extra {extra}", f"without {', '.join(missing)} ({purpose}): {command}"))
        else:
            rows.append((f"extra {extra}", "installed: " + ", ".join(f"{n} {_version(n)}" for n in packages)))
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:<{width}}  {text}")
    if problems:
        print(f"\nneeds attention: {', '.join(problems)}")
        return 1
    return 0
