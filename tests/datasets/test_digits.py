"""The embedded digits, and what every Dataset offers."""

from __future__ import annotations

import numpy as np
import pytest

from graphc.datasets import Dataset, digits
from graphc.errors import DataError


@pytest.fixture(scope="module")
def data() -> Dataset:
    return digits()


def test_shapes_and_dtypes(data):
    assert data.image.shape == (1797, 1, 8, 8)
    assert data.image.dtype == np.float32
    assert data.label.shape == (1797,)
    assert data.label.dtype == np.int32


def test_every_class_has_174_to_183_images(data):
    counts = np.bincount(data.label)
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_pixels_are_sixteenths_from_0_to_1(data):
    assert data.image.min() == 0
    assert data.image.max() == 1
    assert np.array_equal(data.image * 16, np.round(data.image * 16))


def test_each_call_gives_fresh_arrays(data):
    again = digits()
    again.image[:] = -1
    assert data.image.min() == 0
    assert digits().image.min() == 0


def test_equal_to_the_copy_of_scikit_learn(data):
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn, whose copy is compared, is not installed")
    theirs = datasets.load_digits()
    assert np.array_equal(data.image[:, 0] * 16, theirs.images)
    assert np.array_equal(data.label, theirs.target)


def test_works_as_a_dict_of_arrays(data):
    assert data.keys() == ("image", "label")
    assert data["image"] is data.image
    assert "label" in data
    assert "labels" not in data
    assert list(dict(data)) == ["image", "label"]
    assert dict(data.items())["label"] is data.label
    assert dict(**data)["image"] is data.image


def test_length_is_the_number_of_examples(data):
    assert len(data) == 1797
    assert repr(data) == "Dataset(1797 examples: image (1, 8, 8) float32, label () int32)"


def test_cannot_be_looped_over(data):
    with pytest.raises(TypeError, match="not iterable"):
        iter(data)


def test_unknown_name_lists_the_known_ones(data):
    with pytest.raises(KeyError, match="no array 'images' in this Dataset; it has image, label"):
        data["images"]


def test_is_frozen(data):
    with pytest.raises(AttributeError):
        data.label = data.label + 1


def test_lengths_that_differ_are_refused():
    with pytest.raises(DataError, match="found 3 images and 2 labels"):
        Dataset(np.zeros((3, 1, 2, 2), np.float32), np.zeros(2, np.int32))


def test_split_is_disjoint_and_complete():
    count = 101
    whole = Dataset(np.arange(count, dtype=np.float32).reshape(count, 1, 1, 1), np.arange(count, dtype=np.int32))
    train, test = whole.split(0.25, seed=3)
    assert (len(train), len(test)) == (76, 25)
    assert sorted([*train.label, *test.label]) == list(range(count))
    for part in train, test:
        assert np.array_equal(part.image.ravel(), part.label)  # image and label stay together


def test_split_follows_its_seed(data):
    first, again, other = (data.split(0.2, seed=seed)[1].label for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_split_is_the_documented_permutation(data):
    order = np.random.default_rng(7).permutation(1797)
    train, test = data.split(0.2, seed=7)
    assert np.array_equal(test.image, data.image[order[:359]])
    assert np.array_equal(train.label, data.label[order[359:]])


@pytest.mark.parametrize(("fraction", "count"), [(0.2, 359), (0.5, 898), (0.001, 2), (0.9999, 1797)])
def test_split_rounds_to_the_nearest_integer(data, fraction, count):
    if count == len(data):
        with pytest.raises(DataError, match="both parts need at least one"):
            data.split(fraction)
    else:
        train, test = data.split(fraction)
        assert (len(train), len(test)) == (1797 - count, count)


@pytest.mark.parametrize("fraction", [0, 1, -0.2, 1.5, 1e-9])
def test_split_with_an_empty_part_is_refused(data, fraction):
    with pytest.raises(DataError, match=f"fraction={fraction}.*with a fraction between 0 and 1"):
        data.split(fraction)


def test_parts_by_name_are_those_of_split(data):
    train, test = data.split(0.3, seed=5)
    named = digits("train", seed=5, test_fraction=0.3), digits("test", seed=5, test_fraction=0.3)
    assert np.array_equal(named[0].image, train.image)
    assert np.array_equal(named[1].label, test.label)


def test_unknown_part_is_refused():
    with pytest.raises(DataError, match="no part 'validation'; ask for 'train', 'test' or None"):
        digits("validation")
