"""The memo: survives damage, other processes, and refuses folders that others can write."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from graphc.errors import KernelError
from graphc.formula.memo import Memo, cache_folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "cache"
    monkeypatch.setenv("GRAPHC_CACHE", str(path))
    return path


def test_text_is_found_again_by_another_memo(folder: Path) -> None:
    first = Memo("test")
    assert first.get("key") is None
    first.put("key", "line one\nline two \u03c3")
    assert first.get("key") == "line one\nline two \u03c3"
    assert Memo("test").get("key") == "line one\nline two \u03c3"
    assert Memo("other").get("key") is None
    assert cache_folder() == folder
    assert folder.stat().st_mode & 0o777 == 0o700


def test_changed_source_leaves_older_memos_unread(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "rules.py"
    source.write_text("one")
    Memo("test", str(source)).put("key", "old")
    changed = tmp_path / "changed.py"
    changed.write_text("two")
    assert Memo("test", str(changed)).get("key") is None
    assert Memo("test", str(source)).get("key") == "old"


def test_damaged_lines_are_skipped_with_one_warning(folder: Path) -> None:
    memo = Memo("test")
    memo.put("a", "1")
    memo.put("b", "2")
    with memo.path.open("ab") as file:
        file.write(b'["half a line\n\xff\xfe\n{"not": "a pair"}\n[1, 2]\n')
    Path(memo.path).write_bytes(memo.path.read_bytes()[:-3])
    again = Memo("test")
    with pytest.warns(RuntimeWarning, match="cannot be read and are skipped") as caught:
        assert again.get("a") == "1"
    assert again.get("b") == "2"
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again.put("c", "3")  # starts a new line after the torn one
    with pytest.warns(RuntimeWarning, match="skipped"):
        assert Memo("test").get("c") == "3"


def test_processes_that_write_at_once_lose_nothing(folder: Path) -> None:
    program = (
        "import sys; from graphc.formula.memo import Memo; m = Memo('test'); n = int(sys.argv[1])\n"
        "for k in range(200): m.put(f'{n}-{k}', f'{n}-{k}-' + 'x' * (37 * k % 3000))"
    )
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    writers = [subprocess.Popen([sys.executable, "-c", program, str(n)], env=environment) for n in range(4)]
    assert [w.wait(timeout=60) for w in writers] == [0] * 4
    memo = Memo("test")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for n in range(4):
            for k in range(200):
                assert memo.get(f"{n}-{k}") == f"{n}-{k}-" + "x" * (37 * k % 3000)


def test_folder_that_others_can_write_is_refused(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(KernelError, match="chmod 700"):
        cache_folder()


def test_folder_of_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    stranger = os.getuid() + 1
    monkeypatch.setattr(os, "getuid", lambda: stranger)
    with pytest.raises(KernelError, match="belongs to user"):
        cache_folder()


def test_file_in_place_of_the_folder_is_refused(folder: Path) -> None:
    folder.write_text("not a folder")
    with pytest.raises(KernelError, match="cache"):
        cache_folder()


def test_home_that_cannot_be_created_gives_a_private_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "home"
    blocked.write_text("a file, so that no folder can be made below it")
    monkeypatch.delenv("GRAPHC_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    found = cache_folder()
    assert found.stat().st_mode & 0o777 == 0o700
    assert found == cache_folder()


def test_cache_follows_the_variables_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRAPHC_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "graphc"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "graphc"
