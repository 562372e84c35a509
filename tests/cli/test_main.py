"""The command line: what it prints, what it writes, its exit codes, and that it never shows a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import graphc
from graphc.cli.declare import declare
from graphc.cli.main import main


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# ---- draw ----------------------------------------------------------------------------------------


def test_draw_writes_the_circuit_and_prints_the_table(capsys, here):
    code, out, _ = run(capsys, "draw", "(x+y)*z", "--at", "x=-2,y=5,z=-4", "-o", "f.svg")
    assert code == 0
    assert "wrote f.svg" in out
    assert "-4" in out
    assert "-12" in (here / "f.svg").read_text(encoding="utf-8").replace("−", "-")


@pytest.mark.parametrize("suffix", ["svg", "pdf", "dot", "txt"])
def test_draw_writes_what_the_suffix_says(capsys, here, suffix):
    assert run(capsys, "draw", "x*y", "-o", f"f.{suffix}")[0] == 0
    assert (here / f"f.{suffix}").stat().st_size > 0


def test_draw_without_a_file_prints_the_structure(capsys, here):
    code, out, _ = run(capsys, "draw", "1/(1+exp(-x))")
    assert code == 0
    assert "1/x" in out
    assert not list(here.iterdir())


def test_an_expression_may_begin_with_a_minus(capsys, here):
    code, out, _ = run(capsys, "draw", "-x*y", "--at", "x=1,y=2", "-o", "f.txt")
    assert code == 0
    assert "-2" in out


def test_draw_frames_writes_one_page_a_gate(capsys, here):
    code, out, _ = run(capsys, "draw", "x*y", "--at", "x=1,y=2", "-o", "steps.pdf", "--frames")
    assert code == 0
    assert "steps.pdf" in out
    code, out, _ = run(capsys, "draw", "x*y", "--at", "x=1,y=2", "-o", "steps.svg", "--frames")
    assert (here / "steps-01.svg").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["x**"], ["cannot read"]),
        (["__import__('os').system('touch pwned')"], ["nothing was executed"]),
        (["open('/etc/passwd')"], ["'open'", "Nothing was executed"]),
        (["().__class__"], ["nothing was executed"]),
        (["x[0]"], ["index"]),
        (["lambda: x"], ["nothing was executed"]),
        (["f'{x}'"], ["nothing was executed"]),
        (["3"], ["no name"]),
        ([""], ["cannot read"]),
        (["x^2"], ["**"]),
        (["sigmiod(x)"], ["did you mean 'sigmoid'"]),
        (["size(x, 0)"], ["scalars"]),
        (["x // 2"], ["floordiv"]),
        (["(" * 500 + "x" + ")" * 500], ["nested"]),
        (["x*y", "--at", "x=1"], ["no number for y", "--at x=1,y=1"]),
        (["x*y", "--at", "x=1,y=2,w=3"], ["no input 'w'"]),
        (["x*y", "--at", "x=one,y=2"], ["'one' is not a number"]),
        (["x*y", "--at", "x,y"], ["name=value"]),
        (["x*y", "--at", "x=1,x=2"], ["twice"]),
        (["x*y", "-o", "f.bmp"], [".svg"]),
        (["x*y", "-o", "missing/f.svg"], ["missing"]),
        (["x*y", "-o", "f.pdf", "--frames"], ["--at"]),
        (["x*y", "--theme", "pink"], ["pink"]),
    ],
)
def test_bad_input_is_exit_2_with_one_message_and_no_file(capsys, here, arguments, words):
    code, _, err = run(capsys, "draw", *arguments)
    assert code == 2
    assert err.startswith("graphc draw: ")
    for word in words:
        assert word in err
    assert not list(here.iterdir())


# ---- the expression builder ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "at", "value", "slope"),
    [
        ("1/(1+exp(-x))", 1.0, 0.7310585786300049, 0.19661193324148185),
        ("x**2 + 3*x", 2.0, 10.0, 7.0),
        ("max(x, 0, 1 - x)", 3.0, 3.0, 1.0),
        ("sqrt(x) * log(x)", 4.0, 2.772588722239781, 0.8465735902799727),
        ("sigmoid(x) - tanh(x)", 0.0, 0.5, -0.75),
        ("sin(x)", 0.0, 0.0, 1.0),
        ("x if x > 1 else 2*x", 3.0, 3.0, 1.0),
        ("x if x > 1 else 2*x", 0.5, 1.0, 2.0),
        ("1/2*x", 3.0, 1.5, 0.5),
        ("-(-x)", 2.0, 2.0, 1.0),
    ],
)
def test_expressions_become_graphs_with_the_right_values(text, at, value, slope):
    run_ = graphc.backward(declare(text)).at(x=at)
    assert float(run_.value(run_.back.root)) == pytest.approx(value, rel=1e-12, abs=1e-15)
    assert float(run_.grad("x")) == pytest.approx(slope, rel=1e-12)


def test_each_operation_is_a_gate_of_the_registry():
    root = declare("1/(1+exp(-(w*x + b)))")
    gates = [n.gate for n in graphc.graph.topological([root]) if n.kind == "gate"]
    assert sorted(gates) == ["add", "add", "exp", "mul", "neg", "reciprocal"]
    assert root.name == "f"


def test_an_input_called_f_keeps_its_name():
    root = declare("f*x")
    assert root.name is None
    assert float(graphc.backward(root).at(f=2.0, x=3.0).grad("x")) == 2.0


# ---- check ---------------------------------------------------------------------------------------

SIGMOID = "1/(1+exp(-x))"


def test_a_right_claim_is_exit_0(capsys):
    code, out, _ = run(capsys, "check", SIGMOID, "--claim", "x=f*(1-f)")
    assert code == 0
    assert "x" in out


def test_a_wrong_claim_is_exit_1_also_beside_a_right_one(capsys):
    assert run(capsys, "check", SIGMOID, "--claim", "x=f*(1+f)")[0] == 1
    assert run(capsys, "check", "x*y", "--claim", "x=y", "--claim", "y=y")[0] == 1


def test_json_is_json(capsys):
    code, out, _ = run(capsys, "check", SIGMOID, "--claim", "x=f*(1+f)", "--json")
    assert code == 1
    assert "differs" in json.dumps(json.loads(out))


@pytest.mark.parametrize(
    "arguments",
    [
        [SIGMOID, "--claim", "x=__import__('os')"],
        [SIGMOID, "--claim", "x"],
        [SIGMOID, "--claim", "q=1"],
        ["x +", "--claim", "x=1"],
        [SIGMOID],
        [SIGMOID, "--claim", "x=unknown*f"],
    ],
)
def test_claims_that_cannot_be_read_are_exit_2(capsys, arguments):
    code, _, err = run(capsys, "check", *arguments)
    assert code == 2
    assert err


# ---- gates, doctor, cache ------------------------------------------------------------------------


def test_gates_lists_every_gate(capsys):
    code, out, _ = run(capsys, "gates")
    assert code == 0
    for name in graphc.graph.registry.names():
        assert f"\n{name} " in f"\n{out}"


def test_gates_shows_one_and_suggests_near_names(capsys):
    code, out, _ = run(capsys, "gates", "sigmoid")
    assert code == 0
    assert "sigmoid" in out
    code, _, err = run(capsys, "gates", "sigmiod")
    assert code == 2
    assert "did you mean 'sigmoid'" in err


def test_doctor_reports_versions_engine_and_cache(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    code, out, _ = run(capsys, "doctor")
    assert code == 0
    for word in ("Python", "numba", "BLAS", "bits", "layered", str(tmp_path / "cache"), "kernels up to", "extra draw"):
        assert word in out


def line_of(out, name):
    (line,) = (line for line in out.splitlines() if line.startswith(name + " "))
    return line


def test_doctor_says_how_many_threads_run_and_why(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    from graphc.kernels.cpu import threads

    monkeypatch.delenv("GRAPHC_THREADS", raising=False)
    for hand, expected in ((2, "2: 2 processors at hand"), (1, "1: 1 processor at hand"), (64, "8: 64 processors at")):
        monkeypatch.setattr(threads, "available", lambda hand=hand: hand)
        out = run(capsys, "doctor")[1]
        assert expected in line_of(out, "threads")
        assert ("more only by GRAPHC_THREADS" in line_of(out, "threads")) == (hand == 64)
    assert "OpenMP is not used" in line_of(out, "threading")
    monkeypatch.setenv("GRAPHC_THREADS", "3")
    assert "3 (GRAPHC_THREADS=3); 64 processors at hand" in line_of(run(capsys, "doctor")[1], "threads")
    monkeypatch.setenv("GRAPHC_THREADS", "many")
    code, out, _ = run(capsys, "doctor")
    assert code == 1
    assert "GRAPHC_THREADS='many' must be a whole number" in line_of(out, "threads")


def test_doctor_says_how_wide_vectors_are(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    from graphc.kernels.cpu.convolution import registers, vector_lanes

    monkeypatch.delenv("GRAPHC_VECTOR_BITS", raising=False)
    lanes = vector_lanes("float32")
    found = line_of(run(capsys, "doctor")[1], "vectors")
    assert f"{32 * lanes} bits: {lanes} floats; {registers()} registers" in found
    monkeypatch.setenv("GRAPHC_VECTOR_BITS", "128")
    found = line_of(run(capsys, "doctor")[1], "vectors")
    assert "128 bits (GRAPHC_VECTOR_BITS=128): 4 floats" in found


def test_cache_and_doctor_show_the_limit(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GRAPHC_CACHE_LIMIT", "3")
    assert "kernels up to 3.0 MB" in line_of(run(capsys, "doctor")[1], "cache")
    assert "kernels up to 3.0 MB" in run(capsys, "cache")[1]
    monkeypatch.setenv("GRAPHC_CACHE_LIMIT", "-1")
    assert run(capsys, "doctor")[0] == 1
    code, _, err = run(capsys, "cache")
    assert code == 2
    assert "GRAPHC_CACHE_LIMIT='-1' must be a whole number of megabytes" in err


def test_doctor_says_which_command_brings_a_missing_extra(capsys, monkeypatch):
    from graphc.cli import doctor

    monkeypatch.setattr(doctor.util, "find_spec", lambda name: None)
    out = run(capsys, "doctor")[1]
    assert 'python -m pip install "graphc[draw]"' in out


def test_doctor_reports_a_cache_that_others_can_write(capsys, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    monkeypatch.setenv("GRAPHC_CACHE", str(folder))
    code, out, _ = run(capsys, "doctor")
    assert code == 1
    assert "chmod 700" in out


def test_cache_clear_removes_only_what_graphc_wrote(capsys, tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    kernels = folder / "kernels-1-cpu-abc"
    kernels.mkdir(parents=True)
    folder.chmod(0o700)
    monkeypatch.setenv("GRAPHC_CACHE", str(folder))
    (kernels / "kabc.py").write_text("x = 1")
    (folder / "memo-1.jsonl").write_text("[]\n")
    (folder / "letter.txt").write_text("mine")
    (folder / "photos").mkdir()
    (folder / "photos" / "kabc.py").write_text("mine")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kabc.py").write_text("mine")
    (folder / "kernels-link").symlink_to(outside)
    assert "2 files" in run(capsys, "cache")[1]
    assert "removed 2 files" in run(capsys, "cache", "clear")[1]
    assert sorted(p.name for p in folder.iterdir()) == ["kernels-link", "letter.txt", "photos"]
    assert (outside / "kabc.py").exists()
    assert "0 files" in run(capsys, "cache")[1]


# ---- as a program --------------------------------------------------------------------------------


def test_no_command_prints_help_and_unknown_ones_are_exit_2(capsys):
    code, out, _ = run(capsys)
    assert code == 0
    assert "graphc demo" in out
    assert run(capsys, "dmeo")[0] == 2
    assert run(capsys, "--help")[0] == 0
    assert run(capsys, "--version")[0] == 0


def test_a_reader_that_leaves_ends_the_program_quietly():
    command = [sys.executable, "-m", "graphc", "gates"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=_environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 0


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(graphc.__file__).parents[1]), **more}


def test_an_ascii_terminal_gets_question_marks_not_a_traceback():
    command = [sys.executable, "-m", "graphc", "draw", "x*y", "--at", "x=1,y=2"]
    result = subprocess.run(
        command, capture_output=True, env=_environment(PYTHONIOENCODING="ascii", PYTHONUTF8="0"), check=False
    )
    assert result.returncode == 0
    assert b"Traceback" not in result.stderr


def test_the_command_line_starts_without_heavy_packages():
    code = (
        "import sys; from graphc.cli.main import main; main(['--version']); "
        "print([m for m in ('sympy', 'numba', 'scipy', 'matplotlib', 'networkx', 'pygraphviz') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=_environment(), check=True
    )
    assert result.stdout.splitlines()[-1] == "[]"


# ---- demo ----------------------------------------------------------------------------------------


def test_demo_works_in_an_empty_folder_with_a_cold_cache(tmp_path):
    folder, cache = tmp_path / "empty", tmp_path / "cache"
    folder.mkdir()
    environment = _environment(GRAPHC_CACHE=str(cache), GRAPHC_DATA=str(tmp_path / "none"))
    times = []
    for _ in range(2):
        import time

        start = time.perf_counter()
        result = subprocess.run(
            [sys.executable, "-m", "graphc", "demo"],
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=folder,
            env={**environment, "PYTHONIOENCODING": "utf-8"},
            check=False,
        )
        times.append(time.perf_counter() - start)
        assert result.returncode == 0, result.stderr
    for name in ("neuron.svg", "neuron.pdf", "loss.svg"):
        assert (folder / name).stat().st_size > 0
        assert name in result.stdout
    assert sorted(p.name for p in folder.iterdir()) == ["loss.svg", "neuron.pdf", "neuron.svg"]
    for word in ("f = 0.7311", "df/dw0 =  -0.1966", "df/dx0 =   0.3932", "32·(3·3·16 + 1)", "next:"):
        assert word in result.stdout
    accuracy = float(result.stdout.split("test accuracy ")[1].split("%")[0])
    assert accuracy >= 96
    assert times[0] < 60, times
    ready = float(result.stdout.split("kernels ready after ")[1].split(" s")[0])
    assert ready <= 2.0, "a second run starts training within 2 s"


def test_demo_refuses_a_folder_that_is_not_there(capsys, tmp_path):
    code, _, err = run(capsys, "demo", "--folder", str(tmp_path / "missing"))
    assert code == 2
    assert "missing" in err


def test_an_interrupted_demo_is_exit_130(capsys, monkeypatch, here):
    from graphc.cli import demo

    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "train_digits", interrupt)
    code, _, err = run(capsys, "demo")
    assert code == 130
    assert "interrupted" in err
