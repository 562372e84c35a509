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


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _vector_width(found: list[str]) -> str:
    names = " ".join(found)
    if "V4" in names or "AVX512" in names:
        return "512 bits (AVX-512): 16 floats"
    if "V3" in names or "AVX2" in names:
        return "256 bits (AVX2): 8 floats"
    return "128 bits: 4 floats"


def doctor() -> int:
    """Print the report; returns 1 where something needed is missing or the cache cannot be used."""
    import numpy

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
    simd = configuration.get("SIMD Extensions", {})
    limits = [f"{n}={os.environ[n]}" for n in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS") if n in os.environ]
    rows.append(("BLAS", f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip()))
    rows.append(("threads", f"{_cores()} cores usable" + (f", {', '.join(limits)}" if limits else "")))
    rows.append(("vectors", _vector_width([*simd.get("baseline", []), *simd.get("found", [])])))
    engines = [e for e in ("pygraphviz", "dot", "layered") if engine_available(e)]
    program = shutil.which("dot")
    described = {"layered": "layered (built in)", "dot": f"dot ({program})"}
    rows.append(("layout", ", ".join(described.get(e, e) for e in engines)))
    try:
        count, size = cache_size()
        rows.append(("cache", f"{cache_folder()}: {count} files, {size_text(size)}"))
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
