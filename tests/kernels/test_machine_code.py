"""What LLVM is given for float32 kernels: no double anywhere, no allocation, no call but of mathematics."""

from __future__ import annotations

import re

import pytest

import graphc
from graphc.benchmarks import WORKLOADS, workload
from graphc.errors import KernelError
from graphc.graph import registry
from graphc.kernels.cpu import cache
from graphc.kernels.cpu.emit import emit
from tests.gates.contract import apply
from tests.kernels.statements import at, kernel, statement, x

#: The type, and LLVM functions of it: llvm.fma.f64, llvm.fma.v8f64.
DOUBLE = re.compile(r"\bdouble\b|\.(v\d+)?f64\b")
#: LLVM texts that this process has made, by the text of the kernel.
_made: dict[str, str] = {}


@pytest.fixture
def texts(monkeypatch):
    """Kernels are translated to LLVM and no further: their texts by label."""
    found = {}

    def translated(sources):
        for source in sources:
            if source.text not in _made:
                _made[source.text] = cache.llvm_text(source.text)
            found[source.label, source.text] = _made[source.text]
        return [1] * len(sources)  # addresses that nobody calls

    monkeypatch.setattr(cache, "addresses", translated)
    return found


def assert_single_precision(texts, step):
    floats = {buffer.dtype for buffer in step.plan.buffers if buffer.dtype.startswith("float")}
    assert floats == {"float32"}
    assert texts
    for (label, source), text in texts.items():
        lines = [line for line in text.splitlines() if DOUBLE.search(line)]
        assert not lines, f"{label}: {lines[:3]}\n{source}"
        called = set(re.findall(r"^declare [^@\n]*@\"?([^\"(]+)", text, flags=re.MULTILINE))
        foreign = {name for name in called if not name.startswith("llvm.") and not cache._LIBRARY.fullmatch(name)}
        assert not foreign, f"{label} calls {foreign}"


@pytest.mark.parametrize("optimizer", [graphc.SGD(0.1, momentum=0.9), graphc.Adam(0.001)], ids=["SGD", "Adam"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_no_kernel_of_a_training_step_has_a_double_or_allocates(name, optimizer, texts):
    step = graphc.compile([workload(name).declare()], optimizer=optimizer)
    assert_single_precision(texts, step)


@pytest.mark.parametrize("name", registry.names())
def test_no_kernel_of_a_gate_or_its_gradient_has_a_double_or_allocates(name, texts):
    gate = registry.gate(name)
    case = apply(gate, gate.samples[0], dtype="float32")
    nodes = list(case.outputs)
    if case.differentiable:
        back = case.backward()
        nodes += [back.grad(node) for node in case.floats]
    assert_single_precision(texts, graphc.compile(nodes))


def test_a_double_would_be_found():
    body = statement(at("t0", "i"), "set", {"i": "t0.0"}, {"x": at("t1", "i")}, x)
    assert DOUBLE.search(cache.llvm_text(emit(kernel(body, "float64"))))
    assert not DOUBLE.search(cache.llvm_text(emit(kernel(body, "float32"))))


def test_a_kernel_that_allocates_is_refused():
    body = statement(at("t0", "i"), "set", {"i": "t0.0"}, {"x": at("t1", "i")}, x)
    text = emit(kernel(body, "float32")) + "    store(t0, 0, np.zeros(n0_0, np.float32)[0])\n"
    with pytest.raises(KernelError) as caught:
        cache.addresses([cache.Source(text, "a test")])
    assert re.search("the machine code calls '(NRT|numba)", str(caught.value.__cause__))
