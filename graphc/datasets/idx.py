"""Readers for the MNIST family: 28 x 28 images in the idx format."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graphc.datasets.dataset import Dataset
from graphc.errors import DataError

__all__ = ["fashion_mnist", "mnist", "read_idx"]

_SIDE = 28  # pixels
_CLASSES = 10
_BLOCK = 1 << 20  # bytes read at a time
_UNSIGNED_BYTE = 0x08  # the idx type code of all files of the family
_INSTEAD = "graphc.datasets.digits() needs no files and no network"


@dataclass(frozen=True)
class _Source:
    """Where a data set of the family lives, on disk and in the net."""

    title: str
    folder: str  # below $GRAPHC_DATA
    hosts: tuple[str, ...]  # tried in order
    files: dict[str, str]  # file name: MD5, as the publishers state it


_MNIST = _Source(
    title="MNIST",
    folder="mnist",
    hosts=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    files={
        "train-images-idx3-ubyte.gz": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "ec29112dd5afa0611ce80d1b7f02629c",
    },
)
_FASHION_MNIST = _Source(
    title="Fashion-MNIST",
    folder="fashion-mnist",
    hosts=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    files={
        "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)


def mnist(folder: str | os.PathLike[str] | None = None) -> tuple[Dataset, Dataset]:
    """Load MNIST: handwritten digits, 60,000 to train and 10,000 to test.

    The four idx files are taken from `folder`; without it from ``$GRAPHC_DATA/mnist``; with neither
    they are downloaded once, 11.6 MB, into the user's cache folder (extra ``data``) and their
    checksums are verified.

    Parameters
    ----------
    folder : path, optional
        Holds ``train-images-idx3-ubyte.gz``, ``train-labels-idx1-ubyte.gz``,
        ``t10k-images-idx3-ubyte.gz`` and ``t10k-labels-idx1-ubyte.gz``.

    Returns
    -------
    train, test : Dataset
        ``image``, shape (N, 1, 28, 28), float32: ink from 0 (paper) to 1, in steps of 1/255.
        ``label``, shape (N,), int32: the digit, 0 to 9. The training part takes 188 MB.

    Raises
    ------
    DataError
        If a file is missing, malformed or does not fit its companion, or if the download is not
        possible.

    Source
    ------
    Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits, 1998.
    """
    return _load(_MNIST, folder)


def fashion_mnist(folder: str | os.PathLike[str] | None = None) -> tuple[Dataset, Dataset]:
    """Load Fashion-MNIST: pictures of clothes, 60,000 to train and 10,000 to test.

    The four idx files are taken from `folder`; without it from ``$GRAPHC_DATA/fashion-mnist``;
    with neither they are downloaded once, 30.9 MB, into the user's cache folder (extra ``data``)
    and their checksums are verified.

    Parameters
    ----------
    folder : path, optional
        Holds ``train-images-idx3-ubyte.gz``, ``train-labels-idx1-ubyte.gz``,
        ``t10k-images-idx3-ubyte.gz`` and ``t10k-labels-idx1-ubyte.gz``.

    Returns
    -------
    train, test : Dataset
        ``image``, shape (N, 1, 28, 28), float32: brightness from 0 to 1, in steps of 1/255.
        ``label``, shape (N,), int32: 0 T-shirt/top, 1 trouser, 2 pullover, 3 dress, 4 coat,
        5 sandal, 6 shirt, 7 sneaker, 8 bag, 9 ankle boot. The training part takes 188 MB.

    Raises
    ------
    DataError
        If a file is missing, malformed or does not fit its companion, or if the download is not
        possible.

    Source
    ------
    H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, a novel image dataset for benchmarking machine
    learning algorithms, arXiv:1708.07747, 2017 (MIT licence).
    """
    return _load(_FASHION_MNIST, folder)


def read_idx(path: str | os.PathLike[str]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Read one idx file of unsigned bytes, gzipped if its name ends in ``.gz``.

    The format: two zero bytes, a type code (8), the number of dimensions, each extent as a
    big-endian 32-bit integer, then the values in row-major order.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    numpy.ndarray, uint8
        Values in the shape that the file states; writable.

    Raises
    ------
    DataError
        If the file is missing, not readable as gzip, of another type, shorter or longer than its
        header says. Memory follows what the file holds, not what its header claims.
    """
    path = Path(path)
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as stream:
            return _parse_idx(path, stream.read)
    except FileNotFoundError:
        raise DataError(f"no file {path}; expected an idx file there") from None
    # gzip raises EOFError for a cut stream and zlib.error for damaged contents
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"cannot read {path}: {error}; expected an idx file") from error


def _parse_idx(path: Path, read: Callable[[int], bytes]) -> np.ndarray[Any, np.dtype[np.uint8]]:
    magic = read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] != _UNSIGNED_BYTE or magic[3] == 0:
        raise DataError(
            f"{path} is not an idx file of unsigned bytes: it starts with"
            f" {magic.hex(' ') or 'nothing'}; expected 00 00 08 and the number of dimensions"
        )
    rank = magic[3]
    header = read(4 * rank)
    if len(header) < 4 * rank:
        raise DataError(
            f"{path} ends within its header: found {len(header)} bytes of extents,"
            f" expected {4 * rank} for {rank} dimensions"
        )
    shape = struct.unpack(f">{rank}I", header)
    expected = math.prod(shape)
    values = bytearray()
    # in blocks, since one read would reserve all that the header claims; one byte more than due, to
    # see whether something is left over
    while len(values) <= expected and (block := read(min(_BLOCK, expected + 1 - len(values)))):
        values += block
    if len(values) != expected:
        found = f"{len(values):,}" if len(values) < expected else f"more than {expected:,}"
        raise DataError(
            f"{path} holds {found} values; expected {expected:,} for its shape {shape}",
            shapes=(shape,),
        )
    return np.frombuffer(values, dtype=np.uint8).reshape(shape)


def _load(source: _Source, folder: str | os.PathLike[str] | None) -> tuple[Dataset, Dataset]:
    paths = _locate(source, folder)
    train_image, train_label, test_image, test_label = (paths[name] for name in source.files)
    return _pair(train_image, train_label), _pair(test_image, test_label)


def _pair(image_path: Path, label_path: Path) -> Dataset:
    """Read one part and see that its two files belong together."""
    image, label = read_idx(image_path), read_idx(label_path)
    if image.ndim != 3 or image.shape[1:] != (_SIDE, _SIDE):
        raise DataError(
            f"{image_path} has shape {image.shape}; expected (N, {_SIDE}, {_SIDE})",
            shapes=(image.shape,),
        )
    if label.shape != image.shape[:1]:
        raise DataError(
            f"{label_path} has shape {label.shape}; expected ({len(image)},),"
            f" one label for each image of {image_path.name}",
            shapes=(image.shape, label.shape),
        )
    if label.size and label.max() >= _CLASSES:
        raise DataError(f"{label_path} holds the label {label.max()}; expected 0 to {_CLASSES - 1}")
    # (N, 28, 28) -> (N, 1, 28, 28); divided in place, so that only one float copy is made
    scaled = image[:, None].astype(np.float32)
    scaled /= np.float32(255)
    return Dataset(scaled, label.astype(np.int32))


def _locate(source: _Source, folder: str | os.PathLike[str] | None) -> dict[str, Path]:
    """Find the four files: in `folder`, in ``$GRAPHC_DATA``, or by downloading them."""
    if folder is not None:
        place, told = Path(folder), f"folder={os.fspath(folder)!r}"
    elif root := os.environ.get("GRAPHC_DATA"):
        place, told = Path(root) / source.folder, f"GRAPHC_DATA={root}"
    else:
        return _download(source)
    missing = [name for name in source.files if not (place / name).is_file()]
    if missing:
        raise DataError(
            f"{source.title} was looked for in {place} because of {told};"
            f" found no {', '.join(missing)} there ({_INSTEAD})"
        )
    return {name: place / name for name in source.files}


def _download(source: _Source) -> dict[str, Path]:
    try:
        import pooch
    except ImportError:
        raise DataError(
            f"{source.title} is not on this machine: pass folder=..., set GRAPHC_DATA, or let it be"
            f" downloaded after pip install 'graphc[data]' ({_INSTEAD})"
        ) from None
    cache = Path(pooch.os_cache("graphc")) / source.folder
    return {name: _fetch(source, name, checksum, cache, pooch.retrieve) for name, checksum in source.files.items()}


def _fetch(source: _Source, name: str, checksum: str, cache: Path, retrieve: Callable[..., str]) -> Path:
    """Give the path of one file, downloaded from the first host that serves it whole."""
    failure = None
    for host in source.hosts:
        try:
            return Path(retrieve(host + name, f"md5:{checksum}", fname=name, path=cache))
        # requests' errors are OSErrors; pooch reports a wrong checksum as a ValueError
        except (OSError, ValueError) as error:
            failure = error
    raise DataError(
        f"{source.title} cannot be downloaded ({name}: {type(failure).__name__}): go online,"
        f" or pass folder=... or set GRAPHC_DATA ({_INSTEAD})"
    ) from failure
