"""Kernels of these tests are kept in a cache of their own."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    before = os.environ.get("GRAPHC_CACHE")
    os.environ["GRAPHC_CACHE"] = str(tmp_path_factory.mktemp("kernels"))
    yield
    if before is None:
        del os.environ["GRAPHC_CACHE"]
    else:
        os.environ["GRAPHC_CACHE"] = before
