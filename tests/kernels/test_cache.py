"""The kernel cache: a second process, an edit, forks, concurrent processes, damaged files, its size."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import numpy
import pytest

import graphc
from graphc.errors import KernelError, Site
from graphc.formula.expression import Symbol, call, number
from graphc.kernels.cpu import cache
from graphc.kernels.cpu import limit as limits
from graphc.kernels.cpu.emit import emit
from graphc.kernels.cpu.limit import limit, make_room
from tests.kernels.statements import at, elementwise, kernel, statement, x

ROOT = Path(graphc.__file__).parents[1]

PROGRAM = """
    import sys, time
    import numpy
    from tests.kernels.statements import at, statement, kernel
    from graphc.formula.expression import Symbol, call, number
    from graphc.kernels.cpu import cache
    from graphc.kernels.cpu.emit import emit

    def value(constant, count=1):
        results = []
        for k in range(count):
            body = call("add", Symbol("x"), number(constant + k))
            s = statement(at("t0", "i"), "set", {"i": "t0.0"}, {"x": at("t1", "i")}, body)
            address = cache.addresses([cache.Source(emit(kernel(s, "float32")), "add")])[0]
            a, b = numpy.ones(5, "float32"), numpy.zeros(5, "float32")
            arguments = numpy.array([b.ctypes.data, a.ctypes.data, 5, 5], numpy.int64)
            cache.function(address)(arguments.ctypes.data)
            results.append(float(b.sum()))
        return results
"""


def start(folder, text):
    code = textwrap.dedent(PROGRAM) + textwrap.dedent(text)
    paths = [str(ROOT)]
    environment = {**os.environ, "GRAPHC_CACHE": str(folder), "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def finish(process):
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out.strip()


@pytest.fixture
def private(tmp_path, monkeypatch):
    """A cache folder of this test, and nothing remembered in the process."""
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cache, "_loaded", {})
    monkeypatch.setattr(cache, "_warned", set())
    return tmp_path / "cache"


def source(constant):
    s = statement(at("t0", "i"), "set", {"i": "t0.0"}, {"x": at("t1", "i")}, call("add", x, number(constant)))
    return cache.Source(emit(kernel(s, "float32")), "add 'shift'", Site("net.py", 7))


def value(constant):
    address = cache.addresses([source(constant)])[0]
    a, b = numpy.ones(5, "float32"), numpy.zeros(5, "float32")
    arguments = numpy.array([b.ctypes.data, a.ctypes.data, 5, 5], numpy.int64)
    cache.function(address)(arguments.ctypes.data)
    return float(b.sum())


def forget(monkeypatch):
    """As in a new process: nothing loaded (symbols stay, so machine code must not be mixed up)."""
    monkeypatch.setattr(cache, "_loaded", {})
    # an engine of its own: the one of the process must outlive the addresses that other tests hold
    monkeypatch.setattr(cache, "_engine", functools.cache(cache._Engine))


def test_a_second_process_loads_machine_code_without_numba(tmp_path):
    text = """
        start = time.perf_counter()
        print(value(2.5, 6), "numba" in sys.modules, round((time.perf_counter() - start) * 1000, 1))
    """
    cold = finish(start(tmp_path, text))
    warm = finish(start(tmp_path, text))
    assert "True" in cold
    assert "False" in warm
    assert cold.split("]")[0] == warm.split("]")[0]
    print(f"six kernels: cold {cold.split()[-1]} ms, warm {warm.split()[-1]} ms")


def test_concurrent_processes_share_one_cache(tmp_path):
    processes = [start(tmp_path, "print(value(0.5, 5))") for _ in range(4)]
    assert {finish(p) for p in processes} == {str([5 * (1.5 + k) for k in range(5)])}
    (folder,) = tmp_path.glob("kernels-*")
    assert len(list(folder.glob("k*.o"))) == 5
    assert len(list(folder.glob("k*.py"))) == 5
    assert {p.name for p in folder.iterdir() if not p.name.startswith("k")} <= {"lock", "size"}


def test_forked_processes_compile_and_load(tmp_path):
    text = """
        import os
        print(value(1.0), flush=True)
        children = []
        for k in range(3):
            child = os.fork()
            if child == 0:
                # one kernel from the parent, one from its brothers, one of its own
                good = value(1.0) == [10.0] and value(2.0) == [15.0] and value(10.0 + k) == [55.0 + 5 * k]
                os._exit(0 if good else 1)
            children.append(child)
        assert all(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0 for child in children)
        print(value(2.0), value(12.0))
    """
    assert finish(start(tmp_path, text)).splitlines() == ["[10.0]", "[15.0] [65.0]"]


def test_an_edit_of_the_generator_makes_new_kernels(private, monkeypatch):
    assert value(3.0) == 20
    before = set(private.glob("*/k*.o"))
    forget(monkeypatch)
    monkeypatch.setattr(cache, "_generator", lambda: "another generator")
    assert value(3.0) == 20
    assert len(set(private.glob("*/k*.o")) - before) == 1


def test_the_generator_counts_the_text_of_the_intrinsics(monkeypatch):
    found = cache._generator()
    original = Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda self, **k: original(self, **k) + ("# edited" if self.name == "scalar.py" else "")
    )
    cache._generator.cache_clear()
    try:
        assert cache._generator() != found
    finally:
        cache._generator.cache_clear()


@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "foreign", "swapped"])
def test_damaged_machine_code_is_built_again_with_one_warning(damage, private, monkeypatch):
    assert value(4.0) == 25
    assert value(5.0) == 30
    path = cache.path_of(source(4.0).text).with_suffix(".o")
    other = cache.path_of(source(5.0).text).with_suffix(".o")
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "changed": content[:-100] + bytes([content[-100] ^ 1]) + content[-99:],
            "empty": b"",
            "foreign": b"\x7fELF" + content,
            "swapped": other.read_bytes(),
        }[damage]
    )
    forget(monkeypatch)
    with pytest.warns(RuntimeWarning, match="is damaged; it is built again") as caught:
        assert value(4.0) == 25
    assert len(caught) == 1
    forget(monkeypatch)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert value(4.0) == 25
    assert path.read_bytes() != b""


def test_a_changed_text_is_not_run(private, monkeypatch):
    assert value(6.0) == 35
    path = cache.path_of(source(6.0).text)
    good = path.read_text()
    path.write_text("raise SystemExit('this must not run')\n")
    path.with_suffix(".o").unlink()
    forget(monkeypatch)
    with pytest.warns(RuntimeWarning, match="does not hold its text"):
        assert value(6.0) == 35
    assert path.read_text() == good


def test_a_missing_text_is_written_again(private, monkeypatch):
    assert value(7.0) == 40
    path = cache.path_of(source(7.0).text)
    path.unlink()
    forget(monkeypatch)
    assert value(7.0) == 40
    assert path.exists()


def test_a_folder_that_others_can_write_is_refused(private, monkeypatch):
    private.mkdir(mode=0o700)
    private.chmod(0o777)
    with pytest.raises(KernelError, match="can be written by others"):
        value(8.0)


def test_the_cache_is_private(private):
    value(9.0)
    assert private.stat().st_mode & 0o077 == 0
    (folder,) = private.glob("kernels-*")
    assert folder.stat().st_mode & 0o077 == 0


def test_a_failure_names_gate_site_and_file(private):
    text = source(1.0).text.replace("store(", "undefined_name(")
    with pytest.raises(KernelError, match=r"the kernel for add 'shift' declared at net.py:7 cannot be compiled") as e:
        cache.addresses([cache.Source(text, "add 'shift'", Site("net.py", 7))])
    assert e.value.__cause__ is not None
    assert e.value.site == Site("net.py", 7)
    found = re.search(r"its text is (\S+)", str(e.value))
    assert found is not None
    assert "undefined_name" in Path(found[1]).read_text()


def test_machine_code_that_would_call_python_is_refused(private):
    text = source(1.0).text + "    print(1)\n"
    with pytest.raises(KernelError) as e:
        cache.addresses([cache.Source(text, "add")])
    assert "the machine code calls" in str(e.value.__cause__)


def test_texts_never_hold_names_of_users():
    s = elementwise(call("mul", x, Symbol("y")))
    text = emit(kernel(s, "float32"))
    assert re.fullmatch(r"[\x20-\x7e\n]*", text)


def test_without_room_for_files_kernels_still_run(private, monkeypatch):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.tempfile, "mkstemp", full)
    with pytest.warns(RuntimeWarning, match="kernels cannot be kept in .* \\(No space left on device\\)") as caught:
        assert [value(11.0), value(12.0)] == [60, 65]
    assert len(caught) == 1


# ---- the limit -----------------------------------------------------------------------------------


def files(private):
    return {path.name for path in private.glob("kernels-*/k*.o")}


def name_of(constant):
    return cache.path_of(source(constant).text).with_suffix(".o").name


def grow_old(private, *constants):
    """The kernels were used long ago, the first named the longest."""
    for age, constant in enumerate(reversed(constants), 10):
        path = cache.path_of(source(constant).text)
        for file in (path, path.with_suffix(".o")):
            os.utime(file, (time.time() - age * 3600,) * 2)


def test_beyond_the_limit_the_kernels_used_longest_ago_are_removed(private, monkeypatch):
    for constant in (20.0, 21.0, 22.0):
        value(constant)
    sizes = [path.stat().st_size for path in private.glob("kernels-*/k*")]
    grow_old(private, 20.0, 22.0, 21.0)
    forget(monkeypatch)
    assert value(20.0) == 105  # used again
    forget(monkeypatch)
    # room for three kernels of these four
    monkeypatch.setattr(cache, "limit", lambda: sum(sizes) + 1000)
    value(20.0)
    assert len(files(private)) == 3  # nothing was added
    value(23.0)
    assert files(private) == {name_of(constant) for constant in (20.0, 21.0, 23.0)}
    monkeypatch.setattr(cache, "limit", lambda: sum(sizes) // 3 * 2 + 1000)
    forget(monkeypatch)
    value(24.0)
    assert files(private) == {name_of(constant) for constant in (23.0, 24.0)}
    assert len(list(private.glob("kernels-*/k*.py"))) == 2


def test_kernels_of_this_process_stay_whatever_the_limit(private, monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE_LIMIT", "0")
    assert [value(constant) for constant in (30.0, 31.0, 32.0)] == [155, 160, 165]
    assert files(private) == {name_of(constant) for constant in (30.0, 31.0, 32.0)}
    forget(monkeypatch)
    assert value(31.0) == 160  # nothing new: nothing is removed
    assert len(files(private)) == 3
    assert value(33.0) == 170
    assert files(private) == {name_of(31.0), name_of(33.0)}


def test_room_is_made_among_files_of_kernels_only(private, monkeypatch):
    value(40.0)
    (folder,) = private.glob("kernels-*")
    others = [private / "notes.txt", private / "derivatives.jsonl", folder / "lock", folder / ".kabc-new"]
    for path in others:
        path.write_text("x" * 10)
    stopped = folder / ".kabc-old"
    stopped.write_text("half")
    os.utime(stopped, (1, 1))
    elsewhere = private.parent / "kernels-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "k1.o").write_text("y")
    (private / "kernels-link").symlink_to(elsewhere)
    assert make_room(private, 0, set()) == 0
    assert not list(private.glob("kernels-[!l]*/k*"))
    assert all(path.exists() for path in others)
    assert not stopped.exists()
    assert (elsewhere / "k1.o").exists()


def test_the_limit_is_a_number_of_megabytes(private, monkeypatch):
    assert limit() == 512_000_000
    monkeypatch.setenv("GRAPHC_CACHE_LIMIT", "3")
    assert limit() == 3_000_000
    monkeypatch.setenv("GRAPHC_CACHE_LIMIT", "half")
    with pytest.raises(KernelError, match="GRAPHC_CACHE_LIMIT='half' must be a whole number of megabytes"):
        value(1.0)


def test_several_damaged_files_give_one_warning_in_each_process(tmp_path):
    finish(start(tmp_path, "print(value(0.5, 4))"))
    (folder,) = tmp_path.glob("kernels-*")

    def damage():
        for path in folder.glob("k*.o"):
            path.write_bytes(path.read_bytes()[:-500])

    damage()
    text = """
        import warnings
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = value(0.5, 4)
        print(found, len(caught))
    """
    # two processes at once: either of them may mend a file before the other sees it
    together = [finish(start_one) for start_one in [start(tmp_path, text) for _ in range(2)]]
    assert {line.split("]")[0] for line in together} == {"[7.5, 12.5, 17.5, 22.5"}
    assert all(int(line.split()[-1]) <= 1 for line in together)
    assert sum(int(line.split()[-1]) for line in together) >= 1
    assert finish(start(tmp_path, text)).endswith("] 0")
    damage()
    assert finish(start(tmp_path, text)).endswith("] 1")


def test_processes_with_a_small_limit_do_not_disturb_each_other(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE_LIMIT", "0")
    processes = [start(tmp_path, f"print(value({0.5 + 2 * k}, 5))") for k in range(3)]
    for k, process in enumerate(processes):
        assert finish(process) == str([5 * (1.5 + 2 * k + j) for j in range(5)])


def test_files_are_counted_when_they_may_be_too_many_and_once_a_day(private, monkeypatch):
    counted = []
    monkeypatch.setattr(limits, "make_room", lambda *arguments: counted.append(arguments) or make_room(*arguments))
    for constant in (50.0, 51.0, 52.0):
        value(constant)
    assert len(counted) == 1
    (note,) = private.glob("kernels-*/size")
    noted, at_second = map(int, note.read_text().split())
    assert noted == pytest.approx(sum(p.stat().st_size for p in private.glob("kernels-*/k*")), rel=0.1)
    monkeypatch.setenv("GRAPHC_CACHE_LIMIT", "0")
    value(53.0)
    assert len(counted) == 2
    monkeypatch.delenv("GRAPHC_CACHE_LIMIT")
    for text in (f"{noted} {at_second - 90_000}", "half a no"):
        note.write_text(text)
        value(54.0 + len(counted))
    assert len(counted) == 4
    value(60.0)
    assert len(counted) == 4
