"""``graphc cache``: where compiled kernels and memos are kept, how large they are, and clearing them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from graphc.formula.memo import cache_folder

__all__ = ["cache_size", "clear_cache", "show_cache", "size_text"]


def _files(folder: Path) -> Iterator[Path]:
    """Give the files that graphc itself wrote: memos, and kernels in folders of their own.

    Anything else is left alone: GRAPHC_CACHE may point at a folder that holds more than a cache.
    """
    yield from (f for f in folder.glob("*.jsonl") if f.is_file() and not f.is_symlink())
    for inner in folder.glob("kernels-*"):
        if inner.is_dir() and not inner.is_symlink():
            yield from (f for f in inner.iterdir() if f.is_file() and not f.is_symlink())


def cache_size() -> tuple[int, int]:
    """Return the number of files and their bytes."""
    count = total = 0
    for file in _files(cache_folder()):
        try:
            total += file.stat().st_size
        except FileNotFoundError:
            continue  # another process has just replaced it
        count += 1
    return count, total


def clear_cache() -> tuple[int, int]:
    """Remove what graphc wrote; return the number of files and their bytes."""
    folder = cache_folder()
    count = total = 0
    for file in list(_files(folder)):
        try:
            size = file.stat().st_size
            file.unlink()
        except FileNotFoundError:
            continue  # another process was faster
        count, total = count + 1, total + size
    for inner in folder.glob("kernels-*"):
        if inner.is_dir() and not inner.is_symlink() and not any(inner.iterdir()):
            inner.rmdir()
    return count, total


def size_text(size: int) -> str:
    """Write bytes for people."""
    if size < 1000:
        return f"{size} bytes"
    return f"{size / 1e3:.1f} kB" if size < 1e6 else f"{size / 1e6:.1f} MB"


def show_cache(action: str | None) -> int:
    """Print folder and size, or clear."""
    folder = cache_folder()
    if action == "clear":
        count, size = clear_cache()
        print(f"removed {count} files ({size_text(size)}) from {folder}; they are made again when needed")
        return 0
    from graphc.kernels.cpu.limit import limit

    count, size = cache_size()
    print(f"{folder}\n{count} files, {size_text(size)}; kernels up to {size_text(limit())}")
    print("GRAPHC_CACHE chooses another folder, GRAPHC_CACHE_LIMIT how many megabytes kernels may fill;")
    print("beyond it those used longest ago are removed. `graphc cache clear` empties the folder")
    return 0
