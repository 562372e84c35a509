"""Recurrent cells: every option against PyTorch and central differences, extremes by hand, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy
import pytest

import graphc
from graphc.errors import ShapeError
from graphc.formula.expression import Call, Expression, Symbol
from graphc.graph import Gate, Node, Sample, registry
from graphc.graph.reference import evaluate
from graphc.training.graph_text import graph_from, graph_to
from tests.gates import contract

#: Largest |a - b| over the largest |b|.
TOLERANCE = 1e-9
CELLS = ("rnn_cell", "lstm_cell", "gru_cell", "conv_lstm_cell")
#: Operands that a caller writes None for, because they stand before one that is always there.
EXPLICIT = {"rnn_cell": ("weight_x",), "gru_cell": ("weight_x",), "conv_lstm_cell": ("weight_x",), "lstm_cell": ()}
NONLINEAR = ("tanh", "sigmoid", "max")


@dataclass(frozen=True)
class Case:
    """A cell with some of its operands and attributes."""

    cell: str
    shapes: Mapping[str, tuple[int, ...]]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        given = [*(f"{name}={value}" for name, value in self.attributes.items()), *self.shapes]
        return f"{self.cell}-{'-'.join(given)}"

    def apply(self, operands: Mapping[str, Any]) -> tuple[Node, ...]:
        """Apply the public function; several outputs or one, always a tuple."""
        absent = {name: None for name in EXPLICIT[self.cell] if name not in operands}
        made = registry.function(self.cell)(**operands, **absent, **self.attributes)
        return made if isinstance(made, tuple) else (made,)

    def draw(self, scale: float = 1.0, seed: int = 0) -> dict[str, numpy.ndarray]:
        generator = numpy.random.default_rng(seed)
        return {name: scale * generator.uniform(-1.5, 1.5, shape) for name, shape in self.shapes.items()}

    def nodes(self, dtype: str = "float64", suffix: str = "") -> dict[str, Node]:
        return {name: graphc.input(f"{name}{suffix}", shape, dtype) for name, shape in self.shapes.items()}

    def gate(self) -> Gate:
        """The gate that stands behind the call."""
        application = self.apply(self.nodes())[0].application
        assert application is not None
        assert application.gate is not None
        return application.gate


def dense(gates: int, batch: int = 3, extent: int = 4, units: int = 5, *, memory: bool = False) -> dict[str, Any]:
    """Shapes of a cell over vectors."""
    state = {"c": (batch, units)} if memory else {}
    weights = {"weight_x": (gates * units, extent), "weight_h": (gates * units, units), "bias": (gates * units,)}
    return {"x": (batch, extent), "h": (batch, units), **state, **weights}


def without(shapes: Mapping[str, Any], *names: str, **others: Any) -> dict[str, Any]:
    return {name: shape for name, shape in {**shapes, **others}.items() if name not in names}


def cases() -> list[Case]:
    found: list[Case] = []
    rnn = dense(1)
    found += [Case("rnn_cell", rnn, {"activation": activation}) for activation in ("tanh", "relu", "sigmoid")]
    found += [
        Case("rnn_cell", without(rnn, "bias")),
        Case("rnn_cell", without(rnn, "weight_x", x=(3, 5)), {"activation": "relu"}),
        Case("rnn_cell", without(rnn, "weight_x", "bias", x=(3, 5))),
    ]
    for coupled in (False, True):
        count, given = (3 if coupled else 4), {"coupled": coupled}
        lstm = dense(count, memory=True)
        one, peephole = (count * 5, 5 + 4), ((count - 1) * 5,)
        found += [
            Case("lstm_cell", lstm, given),
            Case("lstm_cell", without(lstm, "bias"), given),
            Case("lstm_cell", without(lstm, peephole=peephole), given),
            Case("lstm_cell", without(lstm, "bias", peephole=peephole), given),
            Case("lstm_cell", without(lstm, "weight_x", x=(3, count * 5)), given),
            Case("lstm_cell", without(lstm, "weight_x", "bias", x=(3, count * 5), peephole=peephole), given),
            Case("lstm_cell", without(lstm, "weight_x", "weight_h", weight=one), given),
            Case("lstm_cell", without(lstm, "weight_x", "weight_h", "bias", weight=one, peephole=peephole), given),
        ]
    gru = dense(3)
    for reset_after in (False, True):
        for update in ("new", "old"):
            given = {"reset_after": reset_after, "update": update}
            found += [
                Case("gru_cell", without(gru, bias_h=(15,)), given),
                Case("gru_cell", gru, given),
                Case("gru_cell", without(gru, "bias"), given),
                Case("gru_cell", without(gru, "bias", bias_h=(15,)), given),
                Case("gru_cell", without(gru, "weight_x", x=(3, 15), bias_h=(15,)), given),
            ]
    maps = {"x": (2, 3, 4, 5), "h": (2, 2, 4, 5), "c": (2, 2, 4, 5)}
    filters = {"weight_x": (8, 3, 3, 5), "weight_h": (8, 2, 3, 1), "bias": (8,)}
    found += [
        Case("conv_lstm_cell", {**maps, **filters}),
        Case("conv_lstm_cell", without({**maps, **filters}, "bias")),
        Case("conv_lstm_cell", without({**maps, **filters}, "weight_x", x=(2, 8, 4, 5))),
        Case("conv_lstm_cell", without({**maps, **filters}, "bias", weight_x=(8, 3, 1, 1), weight_h=(8, 2, 5, 7))),
    ]
    return found


CASES = cases()
each_case = pytest.mark.parametrize("case", CASES, ids=str)
each_cell = pytest.mark.parametrize("cell", CELLS)


def weighted(outputs: tuple[Node, ...], arriving: list[numpy.ndarray]) -> Node:
    """The scalar whose gradients are taken: every output times what arrives at it."""
    terms = [graphc.sum(graphc.mul(output, weight)) for output, weight in zip(outputs, arriving, strict=True)]
    return terms[0] if len(terms) == 1 else graphc.add(*terms)


def upstreams(case: Case) -> list[numpy.ndarray]:
    generator = numpy.random.default_rng(7)
    shape = case.shapes["h"]
    return [generator.uniform(-1.0, 1.0, shape) for _ in range(2 if "c" in case.shapes else 1)]


def ours(case: Case, arrays: Mapping[str, numpy.ndarray]) -> tuple[list[Any], dict[str, Any]]:
    """Values of all outputs and gradients of all operands, by the float64 reference."""
    nodes = case.nodes()
    outputs = case.apply(nodes)
    given = {nodes[name]: array for name, array in arrays.items()}
    back = graphc.backward(weighted(outputs, upstreams(case)), wrt=list(nodes.values()))
    gradients = evaluate([back.grad(node) for node in nodes.values()], given)
    return evaluate(outputs, given), dict(zip(nodes, gradients, strict=True))


def assert_close(found: Any, wanted: Any, what: str, tolerance: float = TOLERANCE) -> None:
    found, wanted = numpy.asarray(found), numpy.asarray(wanted)
    assert found.shape == wanted.shape, f"{what}: shape {found.shape}, expected {wanted.shape}"
    error = float(numpy.abs(found - wanted).max(initial=0))
    assert error <= tolerance * float(numpy.abs(wanted).max(initial=0)), f"{what}: differs by {error:.3g}"


# ---- PyTorch ------------------------------------------------------------------------------------------


def projected(t: Any) -> Any:
    return t.x @ t.weight_x.T if t.weight_x is not None else t.x


def biased(total: Any, bias: Any) -> Any:
    return total if bias is None else total + bias


def torch_rnn(torch: Any, t: Any, activation: str = "tanh") -> tuple[Any, ...]:
    return (getattr(torch, activation)(biased(projected(t) + t.h @ t.weight_h.T, t.bias)),)


def memory(torch: Any, t: Any, total: Any, coupled: bool) -> tuple[Any, ...]:
    """What an LSTM does with the sums, from the papers."""
    parts = list(total.chunk(3 if coupled else 4, 1))
    peephole = getattr(t, "peephole", None)
    peepholes = [0.0] * len(parts) if peephole is None else list(peephole.chunk(len(parts) - 1))
    i = None if coupled else torch.sigmoid(parts.pop(0) + peepholes.pop(0) * t.c)
    f = torch.sigmoid(parts[0] + peepholes[0] * t.c)
    g = torch.tanh(parts[1])
    c = f * t.c + (1 - f if i is None else i) * g
    return torch.sigmoid(parts[2] + peepholes[1] * c) * torch.tanh(c), c


def torch_lstm(torch: Any, t: Any, coupled: bool = False) -> tuple[Any, ...]:
    one = t.weight is not None
    total = torch.cat([t.h, t.x], 1) @ t.weight.T if one else projected(t) + t.h @ t.weight_h.T
    return memory(torch, t, biased(total, t.bias), coupled)


def torch_gru(torch: Any, t: Any, reset_after: bool = False, update: str = "new") -> tuple[Any, ...]:
    x_r, x_z, x_n = biased(projected(t), t.bias).chunk(3, 1)
    w_r, w_z, w_n = t.weight_h.chunk(3, 0)
    b_r, b_z, b_n = (0.0, 0.0, 0.0) if t.bias_h is None else t.bias_h.chunk(3)
    r = torch.sigmoid(x_r + t.h @ w_r.T + b_r)
    z = torch.sigmoid(x_z + t.h @ w_z.T + b_z)
    n = torch.tanh(x_n + (r * (t.h @ w_n.T + b_n) if reset_after else (r * t.h) @ w_n.T + b_n))
    return ((1 - z) * t.h + z * n if update == "new" else (1 - z) * n + z * t.h,)


def torch_conv_lstm(torch: Any, t: Any) -> tuple[Any, ...]:
    convolve = torch.nn.functional.conv2d
    total = convolve(t.h, t.weight_h, t.bias, padding="same")
    total = total + (t.x if t.weight_x is None else convolve(t.x, t.weight_x, padding="same"))
    return memory(torch, t, total, False)


TORCH = {"rnn_cell": torch_rnn, "lstm_cell": torch_lstm, "gru_cell": torch_gru, "conv_lstm_cell": torch_conv_lstm}


@pytest.fixture(scope="module")
def torch() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is not installed")


def tensors_of(torch: Any, case: Case, arrays: Mapping[str, numpy.ndarray]) -> Any:
    absent = dict.fromkeys(registry.gate(case.cell).operands)
    return SimpleNamespace(**{**absent, **{n: torch.tensor(a, requires_grad=True) for n, a in arrays.items()}})


def torch_gradients(torch: Any, case: Case, outputs: tuple[Any, ...], tensors: Any) -> dict[str, Any]:
    total = sum((o * torch.tensor(u)).sum() for o, u in zip(outputs, upstreams(case), strict=True))
    found = torch.autograd.grad(total, [getattr(tensors, name) for name in case.shapes])
    return {name: gradient.numpy() for name, gradient in zip(case.shapes, found, strict=True)}


@each_case
def test_values_and_all_gradients_are_those_of_the_papers_in_pytorch(torch: Any, case: Case) -> None:
    arrays = case.draw()
    values, gradients = ours(case, arrays)
    tensors = tensors_of(torch, case, arrays)
    outputs = TORCH[case.cell](torch, tensors, **case.attributes)
    assert len(outputs) == len(values)
    for k, (found, wanted) in enumerate(zip(values, outputs, strict=True)):
        assert_close(found, wanted.detach().numpy(), f"{case}, output {k}")
    for name, wanted in torch_gradients(torch, case, outputs, tensors).items():
        assert numpy.any(wanted), f"{case}: no gradient of {name} to compare"
        assert_close(gradients[name], wanted, f"{case}, gradient of {name}")


@pytest.mark.parametrize(
    ("case", "cell"),
    [
        (Case("rnn_cell", dense(1)), "rnn_tanh_cell"),
        (Case("rnn_cell", dense(1), {"activation": "relu"}), "rnn_relu_cell"),
        (Case("lstm_cell", dense(4, memory=True)), "lstm_cell"),
        (Case("gru_cell", without(dense(3), bias_h=(15,)), {"reset_after": True, "update": "old"}), "gru_cell"),
    ],
    ids=["rnn_tanh_cell", "rnn_relu_cell", "lstm_cell", "gru_cell"],
)
def test_pytorch_s_own_cells_agree(torch: Any, case: Case, cell: str) -> None:
    arrays = case.draw()
    values, gradients = ours(case, arrays)
    t = tensors_of(torch, case, arrays)
    second = getattr(t, "bias_h", None)
    second = torch.zeros_like(t.bias) if second is None else second
    state = (t.h, t.c) if "c" in case.shapes else t.h
    outputs = getattr(torch, cell)(t.x, state, t.weight_x, t.weight_h, t.bias, second)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    for found, wanted in zip(values, outputs, strict=True):
        assert_close(found, wanted.detach().numpy(), f"{cell}, value")
    for name, wanted in torch_gradients(torch, case, outputs, t).items():
        assert_close(gradients[name], wanted, f"{cell}, gradient of {name}")


# ---- the contract for every choice of operands --------------------------------------------------------


@each_case
def test_a_choice_of_operands_keeps_the_contract(case: Case) -> None:
    """Shape rule, first and second order against central differences, and gather forms, as of a registered gate."""
    gate = case.gate()
    order = tuple(name for name in registry.gate(case.cell).operands if name in case.shapes)
    sample = Sample(tuple(case.shapes[name] for name in order), case.attributes, interval=(-1.5, 1.5))
    assert gate.names(len(order)) == order
    assert contract.check_shape(gate, sample) > 0
    assert contract.check_adjoint(gate, sample) > 0
    assert contract.check_second_order(gate, sample) > 0
    assert contract.check_scatter_and_gather(gate, [sample]) > 0


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
@each_cell
def test_kernels_are_the_reference_for_every_choice_of_operands(cell: str, dtype: str) -> None:
    """All cases of a cell as one program: values and gradients."""
    outputs, losses, wanted, data, names = [], [], [], {}, []
    for number, case in enumerate(c for c in CASES if c.cell == cell):
        arrays = {name: array.astype(dtype).astype("float64") for name, array in case.draw(seed=number).items()}
        nodes = case.nodes(dtype, f"_{number}")
        made = case.apply(nodes)
        arriving = [u.astype(dtype).astype("float64") for u in upstreams(case)]
        losses.append(weighted(made, arriving))
        outputs += made
        values, gradients = ours(case, arrays)
        wanted.append((values, gradients))
        data |= {f"{name}_{number}": array for name, array in arrays.items()}
        names += [f"{name}_{number}" for name in arrays]
    loss = losses[0]
    for other in losses[1:]:
        loss = graphc.add(loss, other)
    (_, *found), gradients = graphc.compile([loss, *outputs], gradients=names, dtype=dtype)(**data)
    expected = [value for values, _ in wanted for value in values]
    for array, value in zip(found, expected, strict=True):
        assert_close(array, value, f"{cell}, value", contract.KERNEL_TOLERANCE[dtype])
    for number, (_, exact) in enumerate(wanted):
        for name, gradient in exact.items():
            found_gradient = gradients[f"{name}_{number}"]
            assert_close(found_gradient, gradient, f"gradient of {name}_{number}", contract.KERNEL_TOLERANCE[dtype])


def calls(expression: Expression) -> list[str]:
    """Names of all functions in an expression."""
    if not isinstance(expression, Call):
        return []
    return [expression.function, *(name for operand in expression.operands for name in calls(operand))]


@each_case
def test_a_product_and_a_nonlinear_function_each_have_a_line(case: Case) -> None:
    formula = case.apply(case.nodes())[0].formula
    assert formula is not None
    products = 0
    for statement in formula.statements:
        used = calls(statement.body)
        if statement.operator == "sum":
            products += 1
            assert used == ["mul"], f"more than a product: {statement}"
        elif set(used) & set(NONLINEAR):
            assert isinstance(statement.body, Call)
            assert statement.body.function in NONLINEAR, f"the nonlinear function does not stand alone: {statement}"
            assert set(used[1:]) <= {"add"}, f"not of a sum of tensors: {statement}"
    weights = {"weight_x", "weight_h", "weight"} & set(case.shapes)
    twice = "weight" in weights or (case.cell == "gru_cell" and not case.attributes["reset_after"])
    assert products == len(weights) + twice
    copies = [s.write.tensor for s in formula.statements if isinstance(s.body, Symbol) and s.operator == "set"]
    assert copies == ["weight_h"] * ("weight" in weights) + ["c_new"] * ("c" in case.shapes)


def test_the_outputs_are_the_state_and_then_the_memory() -> None:
    for case in CASES:
        outputs = case.apply(case.nodes())
        formula = outputs[0].formula
        assert formula is not None
        assert formula.outputs == (("h_new", "c_new") if "c" in case.shapes else ("h_new",))
        assert all(output.shape == case.shapes["h"] for output in outputs)


# ---- by hand ------------------------------------------------------------------------------------------

LARGE = 1000.0


def lstm_arrays(*biases: float, batch: int = 2, extent: int = 3, units: int = 4) -> dict[str, numpy.ndarray]:
    """Random operands of an LSTM whose gates are pushed to their limits by a bias each."""
    case = Case("lstm_cell", dense(len(biases), batch, extent, units, memory=True))
    return case.draw() | {"bias": numpy.repeat(biases, units)}


def run(case: Case, arrays: Mapping[str, numpy.ndarray]) -> list[numpy.ndarray]:
    nodes = case.nodes()
    return evaluate(case.apply(nodes), {nodes[name]: array for name, array in arrays.items()})


@pytest.mark.parametrize("coupled", [False, True])
def test_a_forget_gate_of_1_and_an_input_gate_of_0_keep_the_memory_for_ever(coupled: bool) -> None:
    biases = (LARGE, 0.0, 0.0) if coupled else (-LARGE, LARGE, 0.0, 0.0)
    arrays = lstm_arrays(*biases)
    case = Case("lstm_cell", {n: a.shape for n, a in arrays.items()}, {"coupled": coupled})
    before, nodes = arrays["c"].copy(), case.nodes()
    for step in range(100):
        arrays["x"] = numpy.random.default_rng(step).uniform(-2, 2, arrays["x"].shape)
        arrays["h"], arrays["c"] = run(case, arrays)
    numpy.testing.assert_array_equal(arrays["c"], before)
    _, c_new = case.apply(nodes)
    back = graphc.backward(c_new, wrt=list(nodes.values()), upstream=numpy.ones(before.shape))
    gradients = evaluate([back.grad(n) for n in nodes.values()], {nodes[n]: a for n, a in arrays.items()})
    found = dict(zip(nodes, gradients, strict=True))
    numpy.testing.assert_array_equal(found["c"], numpy.ones(before.shape))
    for name in ("x", "h", "weight_x", "weight_h", "bias"):
        numpy.testing.assert_array_equal(found[name], numpy.zeros(arrays[name].shape))


@pytest.mark.parametrize("coupled", [False, True])
def test_a_forget_gate_of_0_and_an_input_gate_of_1_forget_the_memory(coupled: bool) -> None:
    biases = (-LARGE, 0.25, 0.0) if coupled else (LARGE, -LARGE, 0.25, 0.0)
    arrays = lstm_arrays(*biases)
    case = Case("lstm_cell", {n: a.shape for n, a in arrays.items()}, {"coupled": coupled})
    _, c_new = run(case, arrays)
    rows = slice(4, 8) if coupled else slice(8, 12)
    total = arrays["x"] @ arrays["weight_x"][rows].T + arrays["h"] @ arrays["weight_h"][rows].T + 0.25
    numpy.testing.assert_allclose(c_new, numpy.tanh(total), rtol=1e-14)
    other = run(case, arrays | {"c": arrays["c"] + 5.0})[1]
    numpy.testing.assert_array_equal(c_new, other)


def test_a_closed_output_gate_shows_nothing_of_the_memory() -> None:
    arrays = lstm_arrays(0.0, 0.0, 0.0, -LARGE)
    case = Case("lstm_cell", {n: a.shape for n, a in arrays.items()})
    h_new, c_new = run(case, arrays)
    assert not h_new.any()
    assert c_new.any()


def test_peepholes_open_a_gate_by_the_memory() -> None:
    """The gates i and f see the old memory, o the new one."""
    x, zero, c = [[0.0] * 4], [[0.0]] * 4, [[2.0]]
    arrays = {"x": x, "h": [[0.0]], "c": c, "weight_h": zero, "peephole": [0.0, LARGE, 0.0]}
    case = Case("lstm_cell", {n: numpy.shape(a) for n, a in arrays.items()})
    given = {n: numpy.array(a) for n, a in arrays.items()}
    h_new, c_new = run(case, given)
    assert c_new == 2.0  # f is 1, and g is 0
    assert h_new == pytest.approx(numpy.tanh(2.0) / 2)
    # memory of 2, forgotten (f is 0) and written with i*g = 1/2 * tanh(1000): o sees a half, not 2
    given |= {"x": numpy.array([[0.0, -LARGE, LARGE, 0.0]]), "peephole": numpy.array([0.0, 0.0, 3.0])}
    h_new, c_new = run(case, given)
    assert c_new == 0.5
    assert h_new == pytest.approx(numpy.tanh(0.5) / (1 + numpy.exp(-1.5)))


@pytest.mark.parametrize(("update", "bias"), [("new", -LARGE), ("old", LARGE)])
@pytest.mark.parametrize("reset_after", [False, True])
def test_a_gru_keeps_its_state_where_z_says_so(reset_after: bool, update: str, bias: float) -> None:
    shapes = dense(3, 2, 3, 4)
    case = Case("gru_cell", shapes, {"reset_after": reset_after, "update": update})
    arrays = case.draw() | {"bias": numpy.repeat([0.0, bias, 0.0], 4)}
    numpy.testing.assert_array_equal(run(case, arrays)[0], arrays["h"])
    # the other way round the state is replaced; with r = 0 the candidate does not see it
    arrays["bias"] = numpy.repeat([-LARGE, -bias, 0.0], 4)
    expected = numpy.tanh(arrays["x"] @ arrays["weight_x"][8:].T)
    numpy.testing.assert_allclose(run(case, arrays)[0], expected, rtol=1e-14)


def test_both_meanings_of_z_are_one_network_with_its_signs_turned() -> None:
    case = Case("gru_cell", without(dense(3), bias_h=(15,)), {"update": "new"})
    arrays = case.draw()
    turned = {n: a.copy() for n, a in arrays.items()}
    for name in ("weight_x", "weight_h", "bias", "bias_h"):
        turned[name][5:10] *= -1
    other = Case("gru_cell", case.shapes, {"update": "old"})
    numpy.testing.assert_allclose(run(case, arrays)[0], run(other, turned)[0], rtol=1e-13)


def test_one_matrix_is_both_with_the_columns_of_the_state_first() -> None:
    arrays = lstm_arrays(0.1, 0.2, 0.3, 0.4)
    expected = run(Case("lstm_cell", {n: a.shape for n, a in arrays.items()}), arrays)
    arrays["weight"] = numpy.concatenate([arrays.pop("weight_h"), arrays.pop("weight_x")], axis=1)
    found = run(Case("lstm_cell", {n: a.shape for n, a in arrays.items()}), arrays)
    for a, b in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(a, b, rtol=1e-13)


def test_a_convolutional_cell_of_one_place_is_the_plain_cell() -> None:
    arrays = lstm_arrays(0.1, 0.2, 0.3, 0.4)
    expected = run(Case("lstm_cell", {n: a.shape for n, a in arrays.items()}), arrays)
    maps = {n: a if n == "bias" else a.reshape(*a.shape, 1, 1) for n, a in arrays.items()}
    found = run(Case("conv_lstm_cell", {n: a.shape for n, a in maps.items()}), maps)
    for a, b in zip(found, expected, strict=True):
        numpy.testing.assert_allclose(a[..., 0, 0], b, rtol=1e-13)


def saturated(case: Case, dtype: str = "float64") -> dict[str, numpy.ndarray]:
    """Operands that push every sum far beyond the reach of a sigmoid, about 1000 and of both signs."""
    arrays = case.draw()
    generator = numpy.random.default_rng(3)
    pushed = "bias" if "bias" in arrays else "x"
    arrays[pushed] = generator.choice([-LARGE, LARGE], arrays[pushed].shape)
    return {name: array.astype(dtype) for name, array in arrays.items()}


@each_case
def test_saturated_gates_have_finite_values_and_gradients(case: Case) -> None:
    values, gradients = ours(case, saturated(case))
    for name, array in (*((f"output {k}", v) for k, v in enumerate(values)), *gradients.items()):
        assert numpy.isfinite(array).all(), f"{case}: {name}"


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "case",
    [
        Case("rnn_cell", dense(1)),
        Case("lstm_cell", without(dense(4, memory=True), peephole=(15,))),
        Case("gru_cell", dense(3)),
    ],
    ids=str,
)
def test_saturated_kernels_are_the_reference(case: Case, dtype: str) -> None:
    arrays = saturated(case, dtype)
    nodes = case.nodes(dtype)
    outputs = case.apply(nodes)
    program = graphc.compile([weighted(outputs, upstreams(case)), *outputs], gradients=list(nodes), dtype=dtype)
    (_, *found), found_gradients = program(**arrays)
    values, gradients = ours(case, {name: array.astype("float64") for name, array in arrays.items()})
    for a, b in zip(found, values, strict=True):
        assert_close(a, b, f"{case}, value", 1e-5 if dtype == "float32" else 1e-12)
    for name, wanted in gradients.items():
        found_gradient = numpy.asarray(found_gradients[name])
        assert numpy.isfinite(found_gradient).all(), name
        scale = max(1e-6, float(numpy.abs(wanted).max()))
        assert numpy.abs(found_gradient - wanted).max() <= (2e-5 if dtype == "float32" else 1e-12) * scale, name


# ---- what is refused, and what a choice of operands is ------------------------------------------------


def node(*shape: int | str) -> Node:
    return graphc.input(f"t{'_'.join(map(str, shape))}", shape)


RNN = {"x": (2, 3), "h": (2, 4), "weight_x": (4, 3), "weight_h": (4, 4)}
ONE = {"x": (2, 3), "h": (2, 4), "c": (2, 4), "weight": (16, 7)}
GRU = {"x": (2, 3), "h": (2, 4), "weight_x": (12, 3), "weight_h": (12, 4)}
MAPS = {"x": (2, 3, 5, 5), "h": (2, 4, 5, 5), "c": (2, 4, 5, 5), "weight_x": (16, 3, 3, 3), "weight_h": (16, 4, 3, 3)}


@pytest.mark.parametrize(
    ("cell", "operands", "attributes", "words"),
    [
        ("rnn_cell", {**RNN, "weight_x": (3, 4)}, {},
         "weight_x (H, D) = (4, 3) with H = 4 from h, D = 3 from x; found (3, 4): transpose weight_x"),
        ("rnn_cell", {**RNN, "weight_h": (4, 5)}, {}, "weight_h (H, H) = (4, 4) with H = 4 from h; found (4, 5)"),
        ("rnn_cell", {**RNN, "h": (3, 4)}, {}, "x (N, D) = (3, 3) with N = 3 from h; found (2, 3)"),
        ("rnn_cell", {**RNN, "h": (4,)}, {}, "h (N, H), found (4,)"),
        ("rnn_cell", {**RNN, "weight_x": None}, {}, "x (N, H) = (2, 4) with N = 2 from h, H = 4 from h"),
        ("rnn_cell", {**RNN, "weight_h": None}, {}, "takes 4 to 5 operand"),
        ("rnn_cell", {**RNN, "bias": (1,)}, {}, "bias (H,) = (4,)"),
        ("rnn_cell", RNN, {"activation": "elu"}, "activation='elu' must be one of 'tanh', 'relu', 'sigmoid'"),
        ("rnn_cell", RNN, {"activation": ["tanh"]}, "activation=['tanh'] must be one of"),
        ("lstm_cell", without(ONE, "weight"), {}, "needs weight_h"),
        ("lstm_cell", without(ONE, "weight", weight_x=(16, 3)), {}, "needs weight_h"),
        ("lstm_cell", {**ONE, "weight_h": (16, 4)}, {}, "weight for both in one"),
        ("lstm_cell", {**ONE, "weight": (16, 6)}, {}, "weight (4H, H+D) = (16, 7)"),
        ("lstm_cell", {**ONE, "c": (2, 5)}, {}, "c (N, H) = (2, 4)"),
        ("lstm_cell", ONE, {"coupled": True}, "weight (3H, H+D) = (12, 7)"),
        ("lstm_cell", ONE, {"coupled": 1}, "coupled=1 must be True or False"),
        ("lstm_cell", {**ONE, "peephole": (8,)}, {}, "peephole (3H,) = (12,)"),
        ("lstm_cell", {**ONE, "weight": (12, 7), "peephole": (12,)}, {"coupled": True}, "peephole (2H,) = (8,)"),
        ("lstm_cell", {**ONE, "bias": (4,)}, {}, "bias (4H,) = (16,)"),
        ("gru_cell", {**GRU, "weight_x": (16, 3)}, {}, "weight_x (3H, D) = (12, 3)"),
        ("gru_cell", {**GRU, "weight_x": None}, {}, "x (N, 3H) = (2, 12)"),
        ("gru_cell", {**GRU, "bias_h": (4,)}, {}, "bias_h (3H,) = (12,)"),
        ("gru_cell", GRU, {"update": "both"}, "update='both' must be 'new'"),
        ("gru_cell", GRU, {"reset_after": "yes"}, "reset_after='yes' must be True or False"),
        ("conv_lstm_cell", {**MAPS, "weight_x": (16, 3, 2, 3)}, {}, "weight_x needs filters of odd extents"),
        ("conv_lstm_cell", {**MAPS, "weight_h": (16, 4, 3, 4)}, {}, "weight_h needs filters of odd extents"),
        ("conv_lstm_cell", {**MAPS, "x": (2, 3, 5, 6)}, {}, "x (N, C, R, S) = (2, 3, 5, 5)"),
        ("conv_lstm_cell", {**MAPS, "weight_h": (16, 3, 3, 3)}, {}, "weight_h (4K, K, U, V) = (16, 4, 3, 3)"),
        ("conv_lstm_cell", {**MAPS, "weight_x": None}, {}, "x (N, 4K, R, S) = (2, 16, 5, 5)"),
    ],
)  # fmt: skip
def test_a_wrong_call_is_told_what_is_wrong(
    cell: str, operands: dict[str, Any], attributes: dict[str, Any], words: str
) -> None:
    given = {name: None if shape is None else node(*shape) for name, shape in operands.items()}
    with pytest.raises(ShapeError) as caught:
        registry.function(cell)(**given, **attributes)
    message = str(caught.value)
    assert words in message
    assert cell in message
    assert "test_cells.py" in message  # where the cell was called


def test_a_choice_of_operands_is_one_gate_that_keeps_its_formulas() -> None:
    case = Case("lstm_cell", without(dense(4, memory=True), "bias", peephole=(15,)))
    first, second = case.gate(), case.gate()
    assert first is second
    assert first is not registry.gate("lstm_cell")
    assert first.name == "lstm_cell"
    assert Case("lstm_cell", dense(4, memory=True)).gate() is registry.gate("lstm_cell")
    assert case.apply(case.nodes())[0].formula is case.apply(case.nodes())[0].formula


@each_cell
def test_the_batch_may_be_known_at_run_time_only(cell: str) -> None:
    case = next(c for c in CASES if c.cell == cell)
    named = {name: ("N", *shape[1:]) if name in ("x", "h", "c") else shape for name, shape in case.shapes.items()}
    nodes = {name: graphc.input(name, shape, "float64") for name, shape in named.items()}
    outputs = case.apply(nodes)
    assert str(outputs[0].shape[0]) == "N"
    arrays = case.draw()
    for found, wanted in zip(graphc.compile(list(outputs), dtype="float64")(**arrays), run(case, arrays), strict=True):
        assert_close(found, wanted, cell, 1e-12)


@pytest.mark.parametrize("number", range(0, len(CASES), 5))
def test_a_saved_graph_gives_the_same_values(number: int) -> None:
    case = CASES[number]
    nodes, arrays = case.nodes(), case.draw()
    outputs = case.apply(nodes)
    stored, constants = graph_to(list(outputs))
    everything, roots = graph_from(stored, constants)
    given = {n: arrays[n.name] for n in everything if n.kind == "input" and n.name is not None}
    for found, wanted in zip(evaluate(roots, given), run(case, arrays), strict=True):
        numpy.testing.assert_array_equal(found, wanted)
