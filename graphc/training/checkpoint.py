"""Checkpoints: one safetensors file, written whole or not at all, read without executing anything.

The metadata of the file hold the graph (formulas as text), the optimiser, the history and where in the
training it stands, as JSON; the tensors hold parameters, states and optimiser states. A digest over both
tells a damaged file from a whole one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy

from graphc.errors import CheckpointError
from graphc.files import replace_file

__all__ = ["FORMAT", "read_checkpoint", "write_checkpoint"]

#: Version of the file format; a reader refuses others.
FORMAT = 1

_KEY = "graphc"
_DTYPES = ("float32", "float64", "int32", "int64")


def _digest(metadata: str, tensors: Mapping[str, numpy.ndarray]) -> str:
    digest = hashlib.sha256(metadata.encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.data.cast("B") if array.size else b"")
    return digest.hexdigest()


def write_checkpoint(path: Any, content: Mapping[str, Any], tensors: Mapping[str, Any]) -> Path:
    """Write a checkpoint; an existing file is replaced only once the new one is safely on disk.

    Parameters
    ----------
    path : str or path
    content : mapping
        Plain data for JSON.
    tensors : mapping
        Arrays by name.

    Raises
    ------
    CheckpointError
        If the file cannot be written; what stood there before is untouched.
    """
    from safetensors.numpy import save

    try:
        target = Path(os.fspath(path))
    except TypeError:
        raise CheckpointError(f"a path is a text or a pathlib.Path, found {type(path).__name__}") from None
    arrays = {name: numpy.ascontiguousarray(array) for name, array in tensors.items()}
    arrays = {name: array.reshape(numpy.shape(tensors[name])) for name, array in arrays.items()}
    metadata = json.dumps({"format": FORMAT, **content}, allow_nan=True)
    stored = {_KEY: metadata, "sha256": _digest(metadata, arrays)}
    data = save(arrays, stored)
    try:
        replace_file(target, data, durable=True)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or problem
        kept = "; the checkpoint that stood there is untouched" if target.is_file() else ""
        raise CheckpointError(f"cannot write the checkpoint {str(target)!r}: {reason}{kept}") from problem
    return target


def read_checkpoint(path: Any) -> tuple[dict[str, Any], dict[str, numpy.ndarray]]:
    """Read a checkpoint and check that it is whole.

    Returns
    -------
    dict
        The content given to `write_checkpoint`.
    dict
        Arrays by name.

    Raises
    ------
    CheckpointError
        If the file is missing, truncated, damaged, or was not written by graphc; the message says which.
    """
    from safetensors import SafetensorError, safe_open

    try:
        target = Path(path)
    except TypeError:
        raise CheckpointError(f"a path is a text or a pathlib.Path, found {type(path).__name__}") from None
    title = f"the checkpoint {str(target)!r}"
    if not target.exists():
        raise CheckpointError(f"there is no file {str(target)!r} (looked in {target.absolute().parent})")
    if target.is_dir():
        raise CheckpointError(f"{str(target)!r} is a folder; a checkpoint is one file, written by Trainer.save")
    size = target.stat().st_size
    try:
        with safe_open(target, framework="numpy") as file:
            stored = file.metadata() or {}
            if _KEY not in stored:
                raise CheckpointError(
                    f"{str(target)!r} is a safetensors file of another program: its metadata have no "
                    f"{_KEY!r} entry (found: {', '.join(stored) or 'none'})"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except SafetensorError as error:
        raise CheckpointError(
            f"{title} cannot be read: {_what(target)} ({size} bytes; safetensors says: {error}). "
            "It is truncated, damaged, or not a checkpoint; use an earlier one"
        ) from error
    except (OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"{title} cannot be read: {error}") from error
    if stored.get("sha256") != _digest(stored[_KEY], tensors):
        raise CheckpointError(
            f"{title} is damaged: its content does not match the digest written with it; use an earlier one"
        )
    try:
        content = json.loads(stored[_KEY])
        version = content["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{title} has unreadable metadata: {error}") from error
    if version != FORMAT:
        raise CheckpointError(
            f"{title} has format {version!r}; this version of graphc reads format {FORMAT}. "
            "Use the version of graphc that wrote it, or train again"
        )
    for name, array in tensors.items():
        if array.dtype.name not in _DTYPES:
            raise CheckpointError(f"{title}: the tensor {name!r} has dtype {array.dtype}, which graphc never writes")
    return content, tensors


def _what(path: Path) -> str:
    """Say what a file looks like by its first bytes."""
    with path.open("rb") as file:
        head = file.read(16)
    known = {
        b"": "the file is empty",
        b"PK": "it starts like a zip archive (a PyTorch or NumPy file?)",
        b"\x80": "it starts like a pickle",
        b"\x89HDF": "it is an HDF5 file",
        b"\x93NUMPY": "it is a NumPy array file",
        b"\x1f\x8b": "it is gzip-compressed",
    }
    for start, text in known.items():
        if (start and head.startswith(start)) or (not start and not head):
            return text
    length = int.from_bytes(head[:8], "little")
    size = path.stat().st_size
    if head[8:9] == b"{" and 8 + length > size:
        return f"its header should have {length} bytes, but the file ends before"
    if head[8:9] == b"{":
        return "its header is there, but the data after it are not whole"
    return f"it starts with {head[:8]!r}, not with a safetensors header"
