"""A process of our own that answers questions, one at a time, and is replaced when it overruns or dies."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

__all__ = ["Helper", "HelperError"]


class HelperError(Exception):
    """No answer came: the process overran its time (``late``) or ended."""

    def __init__(self, *, late: bool) -> None:
        super().__init__("late" if late else "ended")
        self.late = late


class Helper:
    """A process started as ``python -m module``, which answers JSON lines on its standard input by JSON lines.

    Its first line says that it is ready.

    Parameters
    ----------
    module : str
        What to start.
    arguments : sequence of str
        For it.
    own_group : bool
        Whether it gets a process group of its own, so that what it starts ends with it.
    starting : float
        Longest wait for a fresh process to be ready, in seconds.
    """

    def __init__(
        self, module: str, arguments: Sequence[str] = (), *, own_group: bool = True, starting: float = 60.0
    ) -> None:
        self.module, self.arguments, self.own_group, self.starting = module, list(arguments), own_group, starting
        self.greeting: Any = None
        self.started = 0
        self.closed = False
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str | None] = queue.Queue()

    def start(self) -> None:
        """Start a process, without waiting until it is ready.

        Raises
        ------
        HelperError
            If the helper was closed.
        """
        if self.closed:
            raise HelperError(late=False)
        if self._process is not None:
            return
        package = Path(__file__).parents[2]
        path = os.pathsep.join(filter(None, (str(package), os.environ.get("PYTHONPATH", ""))))
        self._process = subprocess.Popen(
            # -P: a file of the user's folder must not stand in for a module
            [sys.executable, "-P", "-W", "ignore", "-m", self.module, *self.arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**os.environ, "PYTHONPATH": path, "PYTHONIOENCODING": "utf-8", "OPENBLAS_NUM_THREADS": "1"},
            start_new_session=self.own_group,
        )
        self.started += 1
        self.greeting = None
        self._answers = queue.Queue()
        threading.Thread(
            target=_forward, args=(self._process.stdout, self._answers), name=f"graphc {self.module}", daemon=True
        ).start()

    def ready(self) -> Any:
        """Wait until the process is ready, and return what it said.

        Raises
        ------
        HelperError
            If it ended instead.
        """
        self.start()
        if self.greeting is None:
            self.greeting = self._answer(self.starting)
        return self.greeting

    def ask(self, question: Any, seconds: float) -> Any:
        """Ask and wait for the answer.

        Parameters
        ----------
        seconds : float
            Time for the answer, not counting the start of the process.

        Raises
        ------
        HelperError
            If none came in time, or the process ended; the next question finds a fresh one.
        """
        self.ready()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(question) + "\n")
            process.stdin.flush()
        except OSError:
            self.stop()
            raise HelperError(late=False) from None
        return self._answer(seconds)

    def _answer(self, seconds: float) -> Any:
        try:
            line = self._answers.get(timeout=seconds)
        except queue.Empty:
            self.stop()
            raise HelperError(late=True) from None
        try:
            if line is not None:
                return json.loads(line)
        except ValueError:  # it wrote something else: as good as dead
            pass
        self.stop()
        raise HelperError(late=False)

    def stop(self) -> None:
        """End the process and whatever it has started."""
        process, self._process = self._process, None
        if process is None:
            return
        if os.name == "posix" and self.own_group:
            import signal

            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def close(self) -> None:
        """End the process for good."""
        self.closed = True
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


#: Longest line that is taken as an answer, in characters.
_LONGEST = 4_000_000


def _lines(pipe: Any) -> Iterator[str]:
    while line := pipe.readline(_LONGEST):
        yield line


def _forward(pipe: Any, answers: queue.Queue[str | None]) -> None:
    """Put each line into the queue, and None at the end."""
    with contextlib.suppress(ValueError, OSError):  # the pipe was closed while we waited
        for line in _lines(pipe):
            answers.put(line)
    answers.put(None)
