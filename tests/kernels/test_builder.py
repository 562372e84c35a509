"""A second process builds kernels; without it the first builds everything."""

from __future__ import annotations

import subprocess
import time

import pytest

from graphc.errors import KernelError
from graphc.formula.parser import parse_expression
from graphc.kernels.cpu import builder, cache
from graphc.kernels.cpu.chain import emit_chain
from graphc.planning.plan import Kernel, Line


def texts(count, stem):
    types, literals = (("a0", "float64"), ("a1", "float64")), (1, 1, 1, 1)
    return [
        emit_chain(Kernel("chain", None, types, literals, lines=(Line(parse_expression(f"a1*{k + 2} + {stem}"), 0),)))
        for k in range(count)
    ]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    return cache.folder()


def test_the_second_process_builds_all_from_the_last(folder):
    with builder.helped(texts(10, 0.125), 2):
        end = time.monotonic() + 120
        while len(list(folder.glob("k*.o"))) < 10 and time.monotonic() < end:
            time.sleep(0.1)
    files = sorted(folder.glob("k*.o"), key=lambda path: path.stat().st_mtime_ns)
    assert len(files) == 10
    assert cache.path_of(texts(10, 0.125)[-1]).stem == files[0].stem
    before = {path: path.stat().st_mtime_ns for path in files}
    assert all(cache.addresses([cache.Source(text) for text in texts(10, 0.125)]))
    assert {path: path.stat().st_mtime_ns for path in folder.glob("k*.o")} == before  # nothing was built again


def test_two_processes_build_each_kernel_once(folder, monkeypatch):
    monkeypatch.setenv("GRAPHC_THREADS", "2")
    assert len(set(cache.addresses([cache.Source(text) for text in texts(12, 0.25)]))) == 12
    assert len(list(folder.glob("k*.o"))) == 12


def test_without_a_second_process_the_first_builds(folder, monkeypatch):
    monkeypatch.setenv("GRAPHC_THREADS", "2")
    monkeypatch.setattr(builder.sys, "executable", "/no/such/python")
    assert all(cache.addresses([cache.Source(text) for text in texts(10, 0.5)]))
    assert len(list(folder.glob("k*.o"))) == 10


@pytest.mark.parametrize(("count", "processors"), [(10, 1), (9, 2)])
def test_little_work_starts_no_process(folder, monkeypatch, count, processors):
    def refused(*_arguments, **_options):
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "Popen", refused)
    with builder.helped(texts(count, 0.75), processors):
        assert not list(folder.glob("k*.o"))


def test_an_error_of_the_first_process_ends_the_second(folder):
    begin = time.monotonic()
    with pytest.raises(KernelError, match="wrong"), builder.helped(texts(30, 1.5), 2):
        raise KernelError("wrong")
    assert time.monotonic() - begin < 20
    assert len(list(folder.glob("k*.o"))) < 30
