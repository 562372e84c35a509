"""A second process that compiles kernels from the end of a list while the first begins at its start.

LLVM compiles one kernel at a time in a process, since llvmlite locks it. Both processes write into the same cache,
where each kernel is locked while it is built: whoever comes second finds it there. So nothing needs to be agreed on,
and where the second process cannot run, the first builds everything.

``python -m graphc.kernels.cpu.builder`` reads a JSON list of kernel texts from its standard input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["helped"]

#: Fewest kernels for which a second process is worth it: it takes half a second to start, a kernel 60 ms.
_KERNELS = 10
#: Seconds that a process without work may take to end.
_END = 30


@contextmanager
def helped(texts: Sequence[str], processors: int) -> Iterator[None]:
    """Let another process build kernels as well, from the last one on.

    Parameters
    ----------
    texts : sequence of str
        Kernels that are not in the cache.
    processors : int
        How many may be used.
    """
    process = _started(texts) if processors > 1 and len(texts) >= _KERNELS else None
    try:
        yield
    except BaseException:
        if process is not None:
            process.kill()
        raise
    finally:
        if process is not None:
            try:
                process.wait(_END)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _started(texts: Sequence[str]) -> subprocess.Popen[bytes] | None:
    if not sys.executable:
        return None  # an embedded interpreter
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "graphc.kernels.cpu.builder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(list(texts)).encode())
        process.stdin.close()
    except OSError:
        return None  # no second process may run here: the first builds everything
    return process


def _main() -> None:
    from graphc.errors import KernelError
    from graphc.kernels.cpu.cache import Source, build, settle

    for text in reversed(json.load(sys.stdin.buffer)):
        try:
            build(Source(text))
        except KernelError:
            break  # the first process meets the same error, and knows which gate it is
    settle()


if __name__ == "__main__":
    _main()
