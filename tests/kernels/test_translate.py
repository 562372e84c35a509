"""The translator of kernel texts means what Numba means, and understands all texts that are generated."""

from __future__ import annotations

import itertools
import re
import textwrap

import numpy
import pytest

import graphc
from graphc.benchmarks import WORKLOADS, workload
from graphc.graph import registry
from graphc.kernels.cpu import cache, translate
from graphc.kernels.cpu.executor import EXECUTOR, WORKER
from tests.gates.contract import apply

_IMPORTS = "from graphc.kernels.cpu.memory import either, fetch, load, pointer_float32, pointer_int64, real32, store"


def text_of(body):
    """A kernel with numbers ``a``, ``b``, ``c`` and floats ``x``, ``y``; it writes into ``out``."""
    head = """\
        out, floats = pointer_int64(arguments[0]), pointer_float32(arguments[1])
        a, b, c = arguments[2], arguments[3], arguments[4]
        x, y = load(floats, 0), load(floats, 1)
        """
    lines = textwrap.indent(textwrap.dedent(head) + textwrap.dedent(body), "    ")
    return f'"""A test."""\n\n{_IMPORTS}\n\n\ndef kernel(arguments, thread, threads):\n{lines}'


def loaded(module, symbol):
    return cache.function(cache._engine().load(cache._engine().assemble(module), symbol))


def both(body):
    """The kernel as it is translated, and as Numba compiles it."""
    full = cache.module_text(text_of(body))
    digest = cache._hash(full)
    module = cache._module(full, digest, cache.path_of(text_of(body)))
    written = translate.translated(full, vars(module), "own" + digest[:32])
    numba = cache._by_numba(module.kernel, digest)
    engine = cache._engine()
    own = loaded(engine.optimised(translate.text_of(written)), "own" + digest[:32])
    return own, loaded(engine.llvm.parse_assembly(numba), cache._symbol(digest))


def run(kernel, numbers, floats=(0.5, -1.5)):
    out = numpy.full(16, -1000, numpy.int64)
    values = numpy.array(floats, numpy.float32)
    arguments = numpy.array([out.ctypes.data, values.ctypes.data, *numbers], numpy.int64)
    kernel(arguments.ctypes.data)
    return out.tolist()


NUMBERS = [
    (a, b, c) for a, b in itertools.product((-37, -16, -1, 0, 1, 16, 37, 2**40 + 5), repeat=2) for c in (-3, 0, 4)
]
FLOATS = [(0.5, -1.5), (2.0, 2.0), (0.0, -0.0), (numpy.nan, 1.0), (1.0, numpy.nan), (numpy.inf, -numpy.inf)]

BODIES = {
    "whole numbers": """\
        store(out, 0, a + b)
        store(out, 1, a - b * c)
        store(out, 2, a // b)
        store(out, 3, a % b)
        store(out, 4, a // 16)
        store(out, 5, a % 16)
        store(out, 6, -a)
        store(out, 7, min(a, b, c))
        store(out, 8, max(a, b, c))
        store(out, 9, a // 12 * 12 + (a == b) * 2)
        store(out, 10, a & 12 | 3)
        """,
    "truth values": """\
        p, q = a < b, b <= c
        store(out, 0, p and q)
        store(out, 1, p or q)
        store(out, 2, not p)
        store(out, 3, p & q)
        store(out, 4, p | q)
        store(out, 5, 1 if p else 2)
        store(out, 6, not a)
        store(out, 14, a < b + 1 <= c)
        d = e = a < c
        store(out, 13, d + e)
        store(out, 15, 0 <= a < b < 100)
        d = 5
        d = a > b
        store(out, 7, d)
        store(out, 8, (a != b) + (a >= b) + (a > b))
        if a != 0 and not p:
            store(out, 9, 1)
        elif q:
            store(out, 9, 2)
        else:
            store(out, 9, 3)
        """,
    "what is not computed": """\
        # the second place does not exist where a is 0
        if a != 0 and load(pointer_int64(arguments[0] * (a != 0)), 1) == -1000:
            store(out, 0, 1)
        d = load(pointer_int64(arguments[0] * (b > 0)), 2) if b > 0 else c
        store(out, 1, d)
        """,
    "loops": """\
        total = 0
        for k in range(a % 20):
            if k == 3:
                continue
            if k == 11:
                break
            total += k
            k = 7
        store(out, 0, total)
        total = 0
        for k in range(a % 7, b % 50, 3):
            total = total * 3 + k
        store(out, 1, total)
        total = 0
        for k in range(b % 50, a % 7, -2):
            total = total * 3 + k
        store(out, 2, total)
        total = 0
        for k in range(0, b % 50, max(c, 1)):
            for m in range(k):
                total += m
        store(out, 3, total)
        k = b % 9
        while k > 0:
            k -= 1
            if k == c:
                break
            total += k
        store(out, 4, total)
        while True:
            total += 1
            if total % 5 == 0:
                break
        store(out, 5, total)
        if a < b:
            return
        store(out, 6, 1)
        """,
    "exchanged": """\
        a, b, c = b, a, a
        a, b = b + 1, a + 1
        t = (a, b)
        d, e = t
        store(out, 0, a * 2 + b)
        store(out, 1, d * 3 + e + t[0] + c)
        """,
    "floats": """\
        store(out, 0, x < y)
        store(out, 1, x <= y)
        store(out, 2, x == y)
        store(out, 3, x != y)
        store(out, 4, x > y)
        store(out, 5, x >= y)
        store(floats, 0, (x + y) * x - y / x)
        store(floats, 1, -either(x < y, x, y) + real32(a))
        store(out, 6, load(pointer_int64(arguments[1]), 0))
        """,
    "names of two types": """\
        d = a + b
        store(out, 0, d)
        d = x * y
        store(out, 1, d > x)
        for k in range(3):
            e = a + k
            store(out, 2 + k, e)
            e = real32(e)
            store(out, 5 + k, e > x)
        for k in range(2):
            d = a * k
            store(out, 8 + k, d)
        """,
}


@pytest.mark.parametrize("name", BODIES)
def test_a_text_means_what_numba_means(name):
    own, numba = both(BODIES[name])
    for numbers in NUMBERS:
        for floats in FLOATS if name == "floats" else FLOATS[:1]:
            assert run(own, numbers, floats) == run(numba, numbers, floats), (numbers, floats)


@pytest.mark.parametrize(
    "body",
    [
        "store(out, 0, 1 if 0 < min(a, b) < 5 else 0)\n",
        "for k in (3, 4):\n    store(out, 0, k + a - a)\n",
        "store(out, 0, abs(a) ** 2)\n",
        "d = a\nfor k in range(2):\n    store(out, k, d)\n    e = d + k\nstore(out, 2, e / 1 > 0)\n",
        "store(out, 0, divmod(a, 16)[1])\n",
    ],
)
def test_what_is_not_understood_goes_to_numba(body):
    text = text_of(body)
    full = cache.module_text(text)
    names = vars(cache._module(full, cache._hash(full), cache.path_of(text)))
    with pytest.raises(translate.NotUnderstoodError):
        translate.translated(full, names, "kernel")
    kernel = cache.function(cache.addresses([cache.Source(text)])[0])
    out = run(kernel, (2, 3, 4))
    assert (
        out[0] == {"1": 1, "f": 4, "a": 4, "d": 2}[body.split("store(out, 0, ")[-1][0] if body[0] == "s" else body[0]]
    )


@pytest.mark.parametrize(
    "body",
    [
        # in the second turn the name would be a float where it was a whole number in the first
        "d = a\nfor k in range(2):\n    store(out, k, d)\n    d = x\n",
        "if a < b:\n    d = a\nelse:\n    d = x\nstore(out, 0, d)\n",
        "d = a\nwhile d < 3:\n    d = x\n",
        "for k in range(3):\n    d = a\n    if k == b:\n        break\n    d = x\nstore(out, 0, d)\n",
    ],
)
def test_names_whose_type_depends_on_the_path_are_not_understood(body):
    text = text_of(body)
    names = vars(cache._module(cache.module_text(text), "0" * 64, cache.path_of(text)))
    with pytest.raises(translate.NotUnderstoodError, match="two types|is both"):
        translate.translated(text, names, "kernel")


@pytest.fixture
def understood(monkeypatch):
    """Kernels are only translated, and must be understood; how many were."""
    count = []

    def translated(sources):
        for source in sources:
            full = cache.module_text(source.text)
            module = cache._module(full, cache._hash(full), cache.path_of(source.text))
            translate.translated(full, vars(module), "kernel")
            count.append(source.label)
        return [1] * len(sources)

    monkeypatch.setattr(cache, "addresses", translated)
    return count


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", WORKLOADS)
def test_all_kernels_of_a_training_step_are_understood(name, dtype, understood):
    cache.addresses([EXECUTOR, WORKER])
    graphc.compile([workload(name).declare()], optimizer=graphc.Adam(0.001), dtype=dtype)
    assert len(understood) > 2


@pytest.mark.parametrize("name", registry.names())
def test_all_kernels_of_a_gate_and_its_gradient_are_understood(name, understood):
    gate = registry.gate(name)
    case = apply(gate, gate.samples[0], dtype="float32")
    nodes = list(case.outputs)
    if case.differentiable:
        back = case.backward()
        nodes += [back.grad(node) for node in case.floats]
    graphc.compile(nodes)
    assert understood


def test_each_loop_has_a_node_of_its_own_that_names_itself():
    text = text_of("for j in range(a):\n    for k in range(b):\n        store(out, 0, j + k)\n")
    names = vars(cache._module(cache.module_text(text), "0" * 64, cache.path_of(text)))
    written = translate.text_of(translate.translated(text, names, "kernel"))
    nodes = re.findall(r"^(!\d+) = distinct !{ (!\d+), (!\d+) }$", written, flags=re.MULTILINE)
    assert len({own for own, _, _ in nodes}) == 2
    assert all(own == first and own != disable for own, first, disable in nodes)
