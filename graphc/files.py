"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

__all__ = ["replace_file"]


def replace_file(target: Path, data: bytes, *, durable: bool = False) -> None:
    """Write beside the target and rename, so that a reader never sees half a file and a failure keeps the old one.

    Parameters
    ----------
    target : Path
        Its folder must exist.
    data : bytes
        The whole content.
    durable : bool, default False
        Wait until content and name survive a power cut.

    Raises
    ------
    OSError, ValueError
        If the file cannot be written; nothing is left behind.
    """
    if target.is_dir():
        raise IsADirectoryError(21, "it is a folder")
    handle, name = tempfile.mkstemp(prefix=".graphc-", suffix=".part", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # as if it had been opened plainly
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable and os.name == "posix":  # the new name itself, where the system can
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
