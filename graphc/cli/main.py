"""``graphc``: arguments, exit codes and errors; each command lives in a file of its own.

Exit codes: 0 done, 1 a claim is wrong, 2 bad input, 3 undecided, 130 interrupted.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Sequence
from importlib import metadata

from graphc.errors import GraphcError, InternalError

__all__ = ["main"]

_EPILOGUE = """\
examples:
  graphc demo
  graphc draw "(x+y)*z" --at x=-2,y=5,z=-4 -o f.svg
  graphc check "1/(1+exp(-x))" --claim x="f*(1-f)"
  graphc check sheet.toml --submissions answers --save grades.csv
  graphc gates conv2d
"""


def _version() -> str:
    try:
        return metadata.version("graphc")
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="graphc",
        description="Backpropagation from one formula per gate: diagrams, checks, and compiled training.",
        epilog=_EPILOGUE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"graphc {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="command")

    demo = commands.add_parser("demo", help="draw a neuron, then train a small CNN on handwritten digits")
    demo.add_argument("--folder", default=".", help="where to write (default: the current folder)")
    demo.add_argument("--seed", type=int, default=0, help="of the initial weights and the order (default: 0)")

    draw = commands.add_parser("draw", help="draw the circuit of an expression, with values and gradients")
    draw.add_argument("expression", help="in Python notation; the result is called f")
    draw.add_argument("--at", metavar="x=1,y=2", help="numbers for the inputs; without them, closed forms")
    draw.add_argument("-o", "--output", metavar="FILE", help=".svg .pdf .tex .tikz .png .dot .txt (default: text)")
    draw.add_argument("--frames", action="store_true", help="forward, then backward, one gate a frame; .gif too")
    draw.add_argument("--theme", default="default", help="default, classic (green, red), print (greys) or dark")

    check = commands.add_parser(
        "check", help="check claimed derivatives of an expression, or the answers to a sheet of exercises"
    )
    check.add_argument("subject", metavar="EXPRESSION|SHEET.toml", help="in Python notation; the result is called f")
    check.add_argument(
        "--claim",
        metavar="x=TEXT",
        action="append",
        default=[],
        help="claimed derivative of f with respect to x; may use f; may be repeated",
    )
    check.add_argument("--submissions", metavar="FOLDER", help="grade the answers to a sheet, one file a student")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.add_argument(
        "--save",
        metavar="FILE",
        action="append",
        default=[],
        help="also write it: .json .txt; for an expression .html .svg .pdf .png; for a sheet .csv; may be repeated",
    )
    check.add_argument("--seconds", type=float, default=10.0, metavar="S", help="time limit of a claim of a sheet (10)")
    check.add_argument("--proof", type=float, metavar="S", help="time limit of a proof; 0: none (2, for submissions 0)")
    check.add_argument("--details", action="store_true", help="print what every student should read, not only scores")
    check.add_argument(
        "--run-python",
        action="store_true",
        help="run submitted .py files in a child process, with your rights and without a sandbox",
    )

    gates = commands.add_parser("gates", help="list the gates, or show one")
    gates.add_argument("name", nargs="?", help="a gate, for example conv2d")

    bench = commands.add_parser("bench", help="time one training step of a few networks, against other libraries")
    bench.add_argument(
        "workloads",
        nargs="*",
        metavar="WORKLOAD",
        help="mlp lenet cifar resnet20 circuit rnn lstm128 lstm256 gru (all)",
    )
    bench.add_argument(
        "--against", metavar="torch,jax", help="peers, also pytensor and tinygrad, or none (default: installed ones)"
    )
    bench.add_argument("--threads", type=int, default=1, metavar="N", help="of every contestant (default: 1)")
    bench.add_argument("--steps", type=int, metavar="N", help="timed steps (default: what fits into a few seconds)")
    bench.add_argument(
        "--memory", action="store_true", help="also how much memory each takes, in processes of their own"
    )
    bench.add_argument("--output", metavar="FILE.md", help="write the table there too")

    commands.add_parser("doctor", help="versions, threads, vector width, layout engines, cache, extras")

    cache = commands.add_parser("cache", help="where compiled kernels are kept; 'clear' removes them")
    cache.add_argument("action", nargs="?", choices=["clear"], help="remove what graphc keeps there")
    return parser


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "demo":
            from graphc.cli.demo import demo

            return demo(options.folder, options.seed)
        case "draw":
            from graphc.cli.expression import draw_expression

            return draw_expression(options.expression, options.at, options.output, options.frames, options.theme)
        case "check":
            from graphc.cli.check import check_command

            return check_command(options)
        case "gates":
            from graphc.cli.gates import show_gates

            return show_gates(options.name)
        case "bench":
            from graphc.cli.bench import bench

            return bench(
                options.workloads,
                options.against,
                options.threads,
                options.steps,
                options.output,
                memory=options.memory,
            )
        case "doctor":
            from graphc.cli.doctor import doctor

            return doctor()
        case _:
            from graphc.cli.cache import show_cache

            return show_cache(options.action)


def _bracketed(arguments: Sequence[str]) -> list[str]:
    """Put brackets around an expression that begins with a minus, which would be read as an option."""
    result = list(arguments)
    if len(result) > 1 and result[0] in ("draw", "check"):
        text = result[1]
        if text.startswith("-") and not text.startswith(("--", "-o", "-h")):
            result[1] = f"({text})"
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; by default those of the process.

    Returns
    -------
    int
        The exit code.
    """
    parser = _parser()
    try:
        options = parser.parse_args(_bracketed(sys.argv[1:] if argv is None else argv))
    except SystemExit as stop:  # argparse has printed help, version or usage
        return stop.code if isinstance(stop.code, int) else 2
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a letter that cannot be printed becomes a question mark
            with contextlib.suppress(ValueError, OSError):
                stream.reconfigure(errors="replace")
    if options.command is None:
        parser.print_help()
        return 0
    try:
        code = _run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # the reader has gone (`graphc gates | head`): leave quietly, also when Python flushes at exit
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except GraphcError as error:
        print(f"graphc {options.command}: {error}", file=sys.stderr)
        return 2
    except InternalError as error:
        print(f"graphc {options.command}: a defect of graphc, please report it: {error}", file=sys.stderr)
        return 70
    return code


if __name__ == "__main__":
    sys.exit(main())
