"""What is remembered between processes, as plain text.

A `Memo` maps a key to a text: derivatives, output forms. One append-only file of JSON lines a memo, so
that a crash or a second process can damage at most one line, which is then skipped.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import stat
import tempfile
import warnings
from pathlib import Path

from graphc.errors import KernelError

__all__ = ["Memo", "cache_folder"]

#: Longest text remembered, in characters: one write of a line must reach the file whole.
_MAXIMUM_LENGTH = 32_000


@functools.cache
def _temporary(user: int) -> Path:
    """A private folder that lasts as long as the process, for homes that cannot be written."""
    path = tempfile.mkdtemp(prefix=f"graphc-{user}-")
    import atexit
    import shutil

    owner = os.getpid()

    def remove() -> None:
        if os.getpid() == owner:  # a forked child must not take its parent's folder away
            shutil.rmtree(path, ignore_errors=True)

    atexit.register(remove)
    return Path(path)


def _user() -> int:
    return os.getuid() if hasattr(os, "getuid") else 0


def _checked(folder: Path) -> Path:
    """Return a folder that nobody else can have written into, or refuse it."""
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode):
        status = folder.stat()
    if not stat.S_ISDIR(status.st_mode):
        raise KernelError(f"the cache {folder} is not a folder; remove it, or set GRAPHC_CACHE to another folder")
    if hasattr(os, "getuid"):
        if status.st_uid != os.getuid():
            raise KernelError(
                f"the cache folder {folder} belongs to user {status.st_uid}, not to you ({os.getuid()}); "
                "kernels found there could be anybody's. Set GRAPHC_CACHE to a folder of your own"
            )
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise KernelError(
                f"the cache folder {folder} can be written by others (mode "
                f"{stat.S_IMODE(status.st_mode):04o}); kernels found there could be anybody's. "
                f"Run: chmod 700 {folder}"
            )
    return folder


def cache_folder() -> Path:
    """Return the folder of the on-disk cache, created with mode 0700.

    ``$GRAPHC_CACHE`` if set, else ``$XDG_CACHE_HOME/graphc``, else ``~/.cache/graphc``. Where that cannot be
    created, a private temporary folder that lasts as long as the process.

    Raises
    ------
    KernelError
        If the folder belongs to another user or can be written by others, or if ``$GRAPHC_CACHE`` cannot
        be created.
    """
    chosen = os.environ.get("GRAPHC_CACHE")
    if chosen:
        folder = Path(chosen).expanduser().absolute()
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        try:
            # the specification of XDG_CACHE_HOME says to ignore a relative path
            home = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
        except RuntimeError:  # there is no home at all
            return _checked(_temporary(_user()))
        folder = home / "graphc"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
    except OSError as error:
        if chosen:
            raise KernelError(
                f"the cache folder {folder} (GRAPHC_CACHE) cannot be created: {error.strerror or error}"
            ) from error
        return _checked(_temporary(_user()))
    checked = _checked(folder)
    if not writable:
        if chosen:
            raise KernelError(f"the cache folder {folder} (GRAPHC_CACHE) cannot be written")
        return _checked(_temporary(_user()))
    return checked


@functools.cache
def _stamp(sources: tuple[str, ...]) -> str:
    digest = hashlib.blake2b(digest_size=6)
    for source in sources:
        digest.update(Path(source).read_bytes())
    return digest.hexdigest()


class Memo:
    """Texts by key, in memory first and in one file of the cache folder behind.

    Parameters
    ----------
    name : str
        Name of the memo; part of the file name.
    sources : str
        Files whose text decides what is stored, usually ``__file__``. A digest of them is part of the file
        name, so that a changed library leaves older memos unread.

    Notes
    -----
    A line is appended in a single write to a file opened with ``O_APPEND``, so that processes writing at
    the same time do not mix their lines. A line that cannot be read is skipped, with one warning a file.
    A cache that cannot be read or written costs time, never a result.
    """

    def __init__(self, name: str, *sources: str) -> None:
        self.name = name
        self.sources = sources
        self._texts: dict[str, str] = {}
        self._read: Path | None = None

    @property
    def path(self) -> Path:
        """The file behind, in the cache folder of this moment."""
        return cache_folder() / f"{self.name}-{_stamp(self.sources)}.jsonl"

    @staticmethod
    def digest(key: str) -> str:
        """Name of a key in the file."""
        return hashlib.blake2b(key.encode(), digest_size=16).hexdigest()

    def get(self, key: str) -> str | None:
        """Return the text of a key, or None."""
        path = self.path
        if path != self._read:
            self._texts = self._load(path)
            self._read = path
        return self._texts.get(self.digest(key))

    def put(self, key: str, text: str) -> None:
        """Remember the text of a key."""
        if self.get(key) == text:
            return
        digest = self.digest(key)
        self._texts[digest] = text
        line = json.dumps([digest, text], ensure_ascii=True, separators=(",", ":")) + "\n"
        if len(line) > _MAXIMUM_LENGTH:
            return
        path = self.path
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                # a leading line break closes a line that a killed process left open
                os.write(descriptor, ("\n" + line).encode("ascii"))
            finally:
                os.close(descriptor)
        except OSError as error:
            warnings.warn(
                f"the memo {path} cannot be written ({error.strerror or error}); results are not remembered",
                RuntimeWarning,
                stacklevel=2,
            )

    def _load(self, path: Path) -> dict[str, str]:
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return {}
        except OSError as error:
            warnings.warn(
                f"the memo {path} cannot be read ({error.strerror or error}); it is not used",
                RuntimeWarning,
                stacklevel=3,
            )
            return {}
        texts: dict[str, str] = {}
        damaged = 0
        for line in data.split(b"\n"):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
            except ValueError:
                damaged += 1
                continue
            match entry:
                case [str(digest), str(text)]:
                    texts[digest] = text
                case _:
                    damaged += 1
        if damaged:
            warnings.warn(
                f"{damaged} line(s) of the memo {path} cannot be read and are skipped; "
                "remove the file to make this warning go away",
                RuntimeWarning,
                stacklevel=3,
            )
        return texts
