"""Adding a gate is one new file, nothing else."""

from __future__ import annotations

import importlib
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import graphc
from graphc import gates
from graphc.graph import registry
from tests.gates import contract

ROOT = Path(__file__).resolve().parents[2]

GAUSSIAN = dedent('''
    """gaussian: ``y = exp(-x**2)``, elementwise.

    The bell of radial basis functions.

    Shapes: ``x`` any, result the same.
    Derivative: -2*x*y.
    """

    from __future__ import annotations

    from graphc.graph import Gate, Node, Sample

    GATE = Gate(
        "gaussian",
        "y = exp(-x**2)",
        ("x",),
        symbol="exp −x²",
        samples=(Sample(((3, 5),), values=((0.0,), 1.0)), Sample(((),))),
        source="Broomhead, Lowe, Complex Systems 2 (1988)",
    )


    def gaussian(x: Node) -> Node:
        """Gaussian ``exp(-x**2)``, elementwise.

        Parameters
        ----------
        x : Node, any shape
            Operand.

        Returns
        -------
        Node, shape of ``x``

        Raises
        ------
        ShapeError
            If ``x`` is not a node, a number or an array of numbers.

        Notes
        -----
        Cost: 1 read, 1 write, 1 transcendental call per element.

        Source
        ------
        Broomhead, Lowe, Complex Systems 2 (1988).

        Examples
        --------
        >>> import graphc
        >>> x = graphc.input("x")
        >>> print(f"{graphc.backward(graphc.gaussian(x)).at(x=0.5).grad('x'):.4f}")
        -0.7788
        """
        return GATE(x)
''').lstrip()


@pytest.fixture
def gaussian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Drop the file beside the gates, load it as the package does, and take it out again."""
    (tmp_path / "gaussian.py").write_text(GAUSSIAN)
    monkeypatch.setattr(gates, "__path__", [*gates.__path__, str(tmp_path)])
    importlib.invalidate_caches()
    gates.load("gaussian")
    yield "gaussian"
    registry.unregister("gaussian")
    sys.modules.pop("graphc.gates.gaussian", None)
    vars(gates).pop("gaussian", None)


def test_a_new_file_passes_the_contract_with_nothing_else_edited(gaussian: str) -> None:
    gate, function = registry.gate(gaussian), registry.function(gaussian)
    for sample in gate.samples:
        assert contract.check_shape(gate, sample) > 0
        assert contract.check_adjoint(gate, sample) > 0
        assert contract.check_second_order(gate, sample) > 0
        assert contract.check_latex(gate, sample) > 0
    assert contract.check_scatter_and_gather(gate, gate.samples) == 2
    assert contract.check_points_reference(gate) == 20
    assert contract.check_docstring(gate, function) > 0
    assert contract.check_examples(gate, function) == 3
    assert contract.check_signature(gate, function) == 1
    assert contract.check_values(gate, gate.samples) == 1
    for dtype in ("float32", "float64"):
        assert contract.check_kernels(gate, gate.samples, dtype) == 4


def test_a_new_file_is_a_public_function_at_once(gaussian: str) -> None:
    assert gaussian in dir(graphc)
    x = graphc.input("x")
    run = graphc.backward(graphc.gaussian(x)).at(x=3.0)
    assert float(run.value(run.back.root)) == pytest.approx(math.exp(-9.0))


def test_the_gate_is_gone_when_its_file_is(tmp_path: Path) -> None:
    assert "gaussian" not in registry.gates()
    with pytest.raises(AttributeError, match="no gate or name 'gaussian'"):
        graphc.gaussian  # noqa: B018 - resolving the name is what is tested


def test_a_file_beside_the_others_is_found_by_a_fresh_process(tmp_path: Path) -> None:
    """A copy of the package with one more file: registry, contract test and command line see it."""
    ignored = shutil.ignore_patterns("__pycache__", "data")
    shutil.copytree(ROOT / "graphc", tmp_path / "graphc", ignore=ignored)
    (tmp_path / "tests").mkdir()
    shutil.copytree(ROOT / "tests" / "gates", tmp_path / "tests" / "gates", ignore=ignored)
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path / "tests")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "graphc" / "gates" / "gaussian.py").write_text(GAUSSIAN)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/gates/test_contract.py"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment["PYTHONPATH"] = str(tmp_path)
    done = subprocess.run(
        [*command, "-k", "gaussian"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gate contract: " in done.stdout
    # shape, adjoint, second order, stable form and LaTeX for two samples, and ten tests for the gate as a whole
    assert "20 passed" in done.stdout
