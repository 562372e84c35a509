"""The idx reader, MNIST and Fashion-MNIST."""

from __future__ import annotations

import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graphc.datasets import fashion_mnist, mnist, read_idx
from graphc.errors import DataError

LOADERS = {"mnist": mnist, "fashion-mnist": fashion_mnist}
NAMES = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]

needs_data = pytest.mark.skipif(
    "GRAPHC_DATA" not in os.environ, reason="GRAPHC_DATA, the folder of the real files, is not set"
)


def encode(array, *, kind: int = 8, shape=None) -> bytes:
    array = np.asarray(array, np.uint8)
    shape = array.shape if shape is None else shape
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, kind, len(shape), *shape) + array.tobytes()


def write(path: Path, contents: bytes) -> Path:
    path.write_bytes(gzip.compress(contents) if path.suffix == ".gz" else contents)
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Four small files in the layout of the family: 5 images to train, 3 to test."""
    monkeypatch.delenv("GRAPHC_DATA", raising=False)
    rng = np.random.default_rng(0)
    place = tmp_path / "files"
    place.mkdir()
    for prefix, count in (("train", 5), ("t10k", 3)):
        image = rng.integers(0, 256, (count, 28, 28))
        image[0, 0, :2] = 0, 255
        write(place / f"{prefix}-images-idx3-ubyte.gz", encode(image))
        write(place / f"{prefix}-labels-idx1-ubyte.gz", encode(np.arange(count)))
    return place


# --- one file ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("shape", [(7,), (2, 3), (3, 1, 5), (0, 4)])
def test_reads_what_was_written(tmp_path, shape, suffix):
    array = np.random.default_rng(1).integers(0, 256, shape).astype(np.uint8)
    read = read_idx(write(tmp_path / f"file{suffix}", encode(array)))
    assert read.dtype == np.uint8
    assert read.shape == shape
    assert np.array_equal(read, array)
    read[...] = 0  # writable


def test_reads_more_than_one_block(tmp_path):
    array = (np.arange(3 << 20) % 251).astype(np.uint8).reshape(3, -1)
    assert np.array_equal(read_idx(write(tmp_path / "file", encode(array))), array)


MALFORMED = {
    "empty": (b"", "starts with nothing; expected 00 00 08"),
    "short": (b"\0\0\x08", "starts with 00 00 08; expected"),
    "text": (b"label,pixel\n", "starts with 6c 61 62 65; expected 00 00 08"),
    "floats": (encode([1, 2, 3, 4], kind=0x0D, shape=(1,)), "not an idx file of unsigned bytes"),
    "no dimensions": (b"\0\0\x08\0", "starts with 00 00 08 00; expected"),
    "cut header": (b"\0\0\x08\x03\0\0\0\x01", "found 4 bytes of extents, expected 12 for 3"),
    "too few": (encode([1, 2, 3], shape=(2, 2)), r"holds 3 values; expected 4 for its shape"),
    "too many": (encode([1, 2, 3], shape=(2,)), r"holds more than 2 values; expected 2 for"),
    "huge claim": (encode([1], shape=(0xFFFFFFFF,) * 9), r"holds 1 values; expected \d"),
}


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_file_is_refused(tmp_path, case, suffix):
    contents, message = MALFORMED[case]
    path = write(tmp_path / f"bad{suffix}", contents)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"no file .*absent\.gz; expected an idx file there"):
        read_idx(tmp_path / "absent.gz")


def test_folder_instead_of_a_file(tmp_path):
    with pytest.raises(DataError, match="cannot read .*; expected an idx file"):
        read_idx(tmp_path)


def test_contents_that_are_not_gzip(tmp_path):
    path = tmp_path / "plain.gz"
    path.write_bytes(encode([1, 2, 3]))
    with pytest.raises(DataError, match="cannot read .*plain.gz: Not a gzipped file"):
        read_idx(path)


def test_cut_and_damaged_gzip(tmp_path):
    whole = gzip.compress(encode(np.random.default_rng(2).integers(0, 256, 5000)))
    path = tmp_path / "cut.gz"
    path.write_bytes(whole[:2000])
    with pytest.raises(DataError, match=r"cannot read .*cut\.gz: .*ended before"):
        read_idx(path)
    path.write_bytes(whole[:1000] + bytes(200) + whole[1200:])
    with pytest.raises(DataError, match=r"cannot read .*cut\.gz"):
        read_idx(path)


# --- a data set --------------------------------------------------------------------------------


@pytest.mark.parametrize("load", LOADERS.values(), ids=LOADERS)
def test_folder_gives_scaled_images_and_labels(folder, load):
    train, test = load(folder)
    assert train.image.shape == (5, 1, 28, 28)
    assert test.image.shape == (3, 1, 28, 28)
    assert train.image.dtype == np.float32
    assert train.image[0, 0, 0, :2].tolist() == [0, 1]
    raw = read_idx(folder / NAMES[0])
    assert np.array_equal(np.round(train.image[:, 0] * 255), raw)
    assert train.label.dtype == np.int32
    assert train.label.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", LOADERS)
def test_folder_below_graphc_data_is_found(folder, name, monkeypatch):
    folder.rename(folder.parent / name)
    monkeypatch.setenv("GRAPHC_DATA", str(folder.parent))
    train, test = LOADERS[name]()
    assert (len(train), len(test)) == (5, 3)


def test_argument_goes_before_the_environment(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHC_DATA", str(tmp_path / "elsewhere"))
    assert len(mnist(folder)[0]) == 5
    assert len(mnist(str(folder))[0]) == 5


@pytest.mark.parametrize("missing", NAMES)
def test_missing_file_of_a_set_is_named(folder, missing):
    (folder / missing).unlink()
    with pytest.raises(DataError, match=rf"MNIST .*files because of folder=.*no {missing} there"):
        mnist(folder)


def test_missing_folder_names_the_variable_that_led_there(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHC_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"Fashion-MNIST .*because of GRAPHC_DATA=.*digits\(\)"):
        fashion_mnist()


REPLACED = {
    "other size": (NAMES[0], np.zeros((5, 8, 8)), r"shape \(5, 8, 8\); expected \(N, 28, 28\)"),
    "labels as images": (NAMES[0], np.zeros(5), r"shape \(5,\); expected \(N, 28, 28\)"),
    "too few labels": (NAMES[1], np.zeros(4), r"shape \(4,\); expected \(5,\), one label for each"),
    "images as labels": (NAMES[3], np.zeros((3, 28, 28)), r"expected \(3,\), one label for each"),
    "label 10": (NAMES[3], np.array([0, 10, 9]), "holds the label 10; expected 0 to 9"),
}


@pytest.mark.parametrize("case", REPLACED)
def test_files_that_do_not_belong_together(folder, case):
    name, array, message = REPLACED[case]
    path = write(folder / name, encode(array))
    with pytest.raises(DataError, match=message) as caught:
        mnist(folder)
    assert str(path) in str(caught.value)


# --- downloading -------------------------------------------------------------------------------


def test_without_pooch_one_sentence_names_the_ways_out(monkeypatch):
    monkeypatch.delenv("GRAPHC_DATA", raising=False)
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(DataError) as caught:
        fashion_mnist()
    message = str(caught.value)
    assert message.count("\n") == 0
    for way in ("folder=", "GRAPHC_DATA", "pip install 'graphc[data]'", "graphc.datasets.digits()"):
        assert way in message


class FakePooch:
    """Stands in for pooch: serves the files of a folder, or fails."""

    def __init__(self, folder: Path, failures: dict[str, Exception]) -> None:
        self.folder, self.failures, self.asked = folder, failures, []

    def os_cache(self, project: str) -> Path:
        return self.folder / project

    def retrieve(self, url: str, known_hash: str, fname: str, path: Path) -> str:
        self.asked.append(url)
        assert known_hash.startswith("md5:")
        assert len(known_hash) == 4 + 32
        for part, failure in self.failures.items():
            if part in url:
                raise failure
        return str(self.folder / fname)


def test_download_tries_the_next_host(folder, monkeypatch):
    fake = FakePooch(folder, {"ossci-datasets": ConnectionError("refused")})
    monkeypatch.setitem(sys.modules, "pooch", fake)
    train, test = mnist()
    assert (len(train), len(test)) == (5, 3)
    assert len(fake.asked) == 8


@pytest.mark.parametrize("failure", [OSError("offline"), ValueError("hash of downloaded file")])
def test_failed_download_names_the_ways_out(folder, monkeypatch, failure):
    monkeypatch.setitem(sys.modules, "pooch", FakePooch(folder, {"": failure}))
    with pytest.raises(DataError, match="Fashion-MNIST cannot be downloaded") as caught:
        fashion_mnist()
    message = str(caught.value)
    assert message.count("\n") == 0
    for way in ("go online", "folder=", "GRAPHC_DATA", "graphc.datasets.digits()"):
        assert way in message
    assert caught.value.__cause__ is failure


def test_import_loads_neither_pooch_nor_scikit_learn():
    code = "import graphc.datasets, sys; print({'pooch', 'sklearn'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


# --- the real files ----------------------------------------------------------------------------


@needs_data
@pytest.mark.parametrize(("name", "mean", "deviation"), [("mnist", 0.1307, 0.3081), ("fashion-mnist", 0.2860, 0.3530)])
def test_real_files_have_the_published_statistics(name, mean, deviation):
    train, test = LOADERS[name]()
    assert train.image.shape == (60_000, 1, 28, 28)
    assert test.image.shape == (10_000, 1, 28, 28)
    assert train.image.mean(dtype=np.float64) == pytest.approx(mean, abs=1e-4)
    assert train.image.std(dtype=np.float64) == pytest.approx(deviation, abs=1e-4)
    for part in train, test:
        assert np.bincount(part.label, minlength=10).min() > 0
    if name == "fashion-mnist":
        assert np.bincount(train.label).tolist() == [6000] * 10
    else:
        assert np.bincount(test.label).tolist() == [
            980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
        ]  # fmt: skip
