"""Sizes: integer polynomials over names that are known at run time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc.errors import FormulaError
from graphc.formula.size import Extent, Size, extent_value, named

N, T = named("N"), named("T")
VALUES = {"N": 5, "T": 7}

leaves: st.SearchStrategy[Extent] = st.one_of(st.integers(-4, 4), st.sampled_from([N, T]))


@given(leaves, leaves, leaves)
def test_arithmetic_on_names_is_arithmetic_on_their_values(a: Extent, b: Extent, c: Extent) -> None:
    x, y, z = (extent_value(extent, VALUES) for extent in (a, b, c))
    assert extent_value(a + b * c, VALUES) == x + y * z
    assert extent_value((a - b) * (b + c), VALUES) == (x - y) * (y + z)
    assert a * (b + c) == a * b + a * c
    assert a + b == b + a
    assert hash(a * b) == hash(b * a)
    assert a - a == 0


def test_what_is_only_a_number_is_an_int() -> None:
    assert N - N + 3 == 3
    assert isinstance(N - N + 3, int)
    assert isinstance(N * 0, int)


def test_a_quotient_is_exact_or_refused_with_advice() -> None:
    assert (N * 6) // 3 == N * 2
    assert (N * T * 6) // (T * 2) == N * 3
    assert (N * 4) // N == 4
    for dividend, divisor in ((N + 1, 2), (N * 3, 2), (N, T), (N + T, N)):
        with pytest.raises(FormulaError, match="cannot be divided by .* use a number for this extent"):
            dividend // divisor


def test_sizes_are_written_as_a_reader_expects() -> None:
    assert str(N) == "N"
    assert str(N * 6) == "6*N"
    assert str(N * T) == "N*T"
    assert str(N * 2 + 1) == "2*N + 1"
    assert repr(N) == "N"


def test_names_are_listed_and_a_missing_one_is_an_error() -> None:
    size = N * T + 1
    assert isinstance(size, Size)
    assert size.names() == {"N", "T"}
    assert extent_value(3, {}) == 3
    with pytest.raises(KeyError, match="T"):
        extent_value(size, {"N": 1})


def test_a_size_is_not_a_number_of_the_same_value() -> None:
    assert N != 5
    assert N * 1 == N
    assert len({N, N * 1, N + 0, T}) == 2
