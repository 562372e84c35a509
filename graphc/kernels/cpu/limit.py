"""How much disk kernels may fill: beyond the limit, those that were used longest ago are removed.

The time of an object file is when it was last used, to within an hour: a start that finds it touches it. A folder can
hold many files: how much they fill is counted once a day, and in between what processes add is added to a note.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from graphc.errors import KernelError

__all__ = ["grown", "limit", "make_room", "touch"]

_MEGABYTES = 512
#: Seconds: how exact times of use are, and how long another process may take to write a file.
_HOUR = 3600.0
#: Seconds after which a note is not believed: processes that write at the same time lose what the other added.
_DAY = 86400.0


def limit() -> int:
    """Bytes that kernels may fill: ``GRAPHC_CACHE_LIMIT`` megabytes, or 512.

    Raises
    ------
    KernelError
        If ``GRAPHC_CACHE_LIMIT`` is not a whole number.
    """
    text = os.environ.get("GRAPHC_CACHE_LIMIT", "")
    if text and not text.isdecimal():
        raise KernelError(f"GRAPHC_CACHE_LIMIT={text!r} must be a whole number of megabytes, for example 512")
    return int(text or _MEGABYTES) * 1_000_000


def touch(path: Path) -> None:
    """Note that a file is in use."""
    with suppress(OSError):  # a folder that is only read
        if time.time() - path.stat().st_mtime > _HOUR:
            os.utime(path)


def grown(folder: Path, added: int, most: int, own: Collection[str]) -> None:
    """Note that kernels of so many bytes were added, and make room where they may be too many.

    Parameters
    ----------
    folder : Path
        Folder of the kernels of this process, beside those of other processors and versions.
    added : int
        Bytes.
    most, own
        As in `make_room`.
    """
    note, now = folder / "size", time.time()
    total, counted = 0, 0.0
    with suppress(OSError, ValueError):
        total, counted = (int(word) for word in note.read_text(encoding="ascii").split())
    if now - counted < _DAY and total + added <= most:
        total += added
    else:
        total, counted = make_room(folder.parent, most, own), now
    with suppress(OSError):
        note.write_text(f"{total} {int(counted)}", encoding="ascii")


def make_room(cache: Path, most: int, own: Collection[str]) -> int:
    """Remove the kernels that were used longest ago until the others fill no more than allowed.

    Parameters
    ----------
    cache : Path
        Folder with the folders of kernels.
    most : int
        Bytes that may stay.
    own : collection of str
        Hashes of kernels that this process uses: they stay in any case.

    Returns
    -------
    int
        Bytes that are left.
    """
    groups: dict[tuple[str, str], tuple[float, int, list[str]]] = {}  # last use, size, paths of a kernel
    now = time.time()
    for folder in cache.glob("kernels-*"):
        if folder.is_symlink():
            continue
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(OSError):  # another process may be removing it
                    if not entry.name.startswith(("k", ".k")) or not entry.is_file(follow_symlinks=False):
                        continue
                    status = entry.stat()
                    if entry.name.startswith("."):  # left by a process that was stopped while it wrote
                        if now - status.st_mtime > _HOUR:
                            os.unlink(entry.path)  # noqa: PTH108 - no Path for each file of a large folder
                        continue
                    key = (str(folder), entry.name.partition(".")[0])
                    used, size, paths = groups.get(key, (0.0, 0, []))
                    used = max(used, status.st_mtime)
                    groups[key] = (used, size + status.st_size, [*paths, entry.path])
    total = sum(size for _, size, _ in groups.values())
    for (_, name), (_, size, paths) in sorted(groups.items(), key=lambda item: item[1][0]):
        if total <= most:
            break
        if name[1:] in own:
            continue
        for path in paths:
            Path(path).unlink(missing_ok=True)
        total -= size
    return total
