"""Recurrent layers: against PyTorch, against written out copies, against differences, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy
import pytest

import graphc
from graphc.errors import DataError, ShapeError
from graphc.graph import Node
from graphc.layers.recurrence import Options

L = graphc.layers
TOLERANCE = 1e-9
#: Layer of graphc with PyTorch's conventions, and the factor of its rows.
KINDS: dict[str, tuple[Callable[..., Any], dict[str, Any], int]] = {
    "rnn": (L.rnn, {}, 1),
    "rnn relu": (L.rnn, {"activation": "relu"}, 1),
    "lstm": (L.lstm, {}, 4),
    "gru": (L.gru, {"reset_after": True, "update": "old"}, 3),
}
STATES = {"rnn": ("h",), "rnn relu": ("h",), "lstm": ("h", "c"), "gru": ("h",)}


def flattened(value: Any) -> list[Node]:
    """Nodes of outputs and states, whatever their structure."""
    return [n for item in value for n in flattened(item)] if isinstance(value, tuple | list) else [value]


def squares(nodes: list[Node]) -> Node:
    """A loss in which every element has a gradient of its own, and each node another weight."""
    total = graphc.sum(nodes[0] * nodes[0])
    for k, node in enumerate(nodes[1:], 2):
        total = total + graphc.sum(node * node) * float(k)
    return total


def near(found: Any, expected: Any, what: str = "") -> None:
    scale = max(float(numpy.abs(expected).max(initial=0.0)), 1.0)
    assert numpy.shape(found) == numpy.shape(expected), what
    assert float(numpy.abs(numpy.asarray(found) - expected).max(initial=0.0)) <= TOLERANCE * scale, what


class Judged:
    """A layer compiled in float64 with its loss and all gradients, and the same of the reference."""

    def __init__(self, made: Any, wrt: tuple[str, ...] = ("xs",), seed: int = 5) -> None:
        self.nodes = flattened(made)
        self.loss = squares(self.nodes)
        below = graphc.graph.topological([self.loss])
        self.wrt = (*wrt, *(n.label for n in below if n.kind == "parameter"))
        self.step = graphc.compile([self.loss, *self.nodes], gradients=list(self.wrt), dtype="float64", threads=1)
        generator = numpy.random.default_rng(seed)
        for value in self.step.parameters.values():
            value[...] = generator.normal(0.0, 0.5, value.shape)
        self.back = graphc.backward(self.loss)
        self.kept = [n.label for n in below if n.kind == "state"]

    def reference(self, **data: Any) -> tuple[list[numpy.ndarray], dict[str, numpy.ndarray]]:
        states = {name: numpy.array(self.step.states[name]) for name in self.kept}
        run = self.back.at(parameters={k: numpy.array(v) for k, v in self.step.parameters.items()}, **states, **data)
        return [run.value(n) for n in (self.loss, *self.nodes)], {name: run.grad(name) for name in self.wrt}

    def compiled(self, **data: Any) -> tuple[list[numpy.ndarray], dict[str, numpy.ndarray]]:
        values, gradients = self.step(**data)
        return [numpy.array(v) for v in values], {name: numpy.array(gradients[name]) for name in self.wrt}

    def both(self, **data: Any) -> tuple[list[numpy.ndarray], dict[str, numpy.ndarray]]:
        """Results of the reference, which those of the compiled step are compared with."""
        values, gradients = self.reference(**data)
        found, slopes = self.compiled(**data)
        for k, (own, expected) in enumerate(zip(found, values, strict=True)):
            near(own, expected, f"value {k}")
        for name in self.wrt:
            near(slopes[name], gradients[name], name)
        return values, gradients


# ---- PyTorch ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def torch() -> Any:
    module = pytest.importorskip("torch", reason="PyTorch is not installed")
    module.set_num_threads(1)
    return module


def peer(torch: Any, kind: str, parameters: Mapping[str, Any], features: int, units: int, **options: Any) -> Any:
    """PyTorch's module with the same parameters, and what each of its parameters is here."""
    keywords = {"num_layers": options.get("layers", 1), "bidirectional": options.get("bidirectional", False)}
    if kind.startswith("rnn"):
        keywords["nonlinearity"] = "relu" if kind == "rnn relu" else "tanh"
    module = getattr(torch.nn, kind.split(maxsplit=1)[0].upper())(features, units, dtype=torch.float64, **keywords)
    names = {}
    for number in range(keywords["num_layers"]):
        for way in ("forward", "backward") if keywords["bidirectional"] else ("",):
            prefix = ".".join(("a", *([str(number)] if keywords["num_layers"] > 1 else []), *([way] if way else [])))
            ending = f"_l{number}" + ("_reverse" if way == "backward" else "")
            names |= {f"weight_ih{ending}": f"{prefix}.weight_x", f"weight_hh{ending}": f"{prefix}.weight_h"}
            names |= {f"bias_ih{ending}": f"{prefix}.bias", f"bias_hh{ending}": f"{prefix}.bias_h"}
    with torch.no_grad():
        for name, value in module.named_parameters():
            known = names[name] in parameters  # the second bias is there where it is not the same as a sum of both
            value.copy_(torch.tensor(numpy.array(parameters[names[name]])) if known else torch.zeros_like(value))
    return module, {name: own for name, own in names.items() if own in parameters}


def judged_by_torch(
    torch: Any, judged: Judged, kind: str, data: Mapping[str, Any], features: int, units: int, **options: Any
) -> None:
    """Values and gradients of the compiled step and of the reference against PyTorch's."""
    module, names = peer(torch, kind, judged.step.parameters, features, units, **options)
    xs = torch.tensor(data["xs"], requires_grad=True)
    given = {k: torch.tensor(v, requires_grad=True) for k, v in data.items() if k.startswith("state")}
    letters = STATES[kind]
    starts = None
    if given:
        count = len(given) // len(letters)
        starts = [torch.stack([given[f"state{k}{s}"] for k in range(count)]) for s in letters]
    state = starts if starts is None or len(letters) > 1 else starts[0]
    if "lengths" in data:
        packed = torch.nn.utils.rnn.pack_padded_sequence(xs, torch.tensor(data["lengths"]), enforce_sorted=False)
        out, ends = module(packed, state)
        out, _ = torch.nn.utils.rnn.pad_packed_sequence(out, total_length=xs.shape[0])
    else:
        out, ends = module(xs, state)
    ends = ends if isinstance(ends, tuple) else (ends,)
    flat = [end[k] for k in range(ends[0].shape[0]) for end in ends]
    results = [out, *flat]
    loss = torch.stack([(k + 1.0) * (node * node).sum() for k, node in enumerate(results)]).sum()
    loss.backward()
    for found, gradients in (judged.reference(**data), judged.compiled(**data)):
        for k, (own, result) in enumerate(zip(found, [loss, *results], strict=True)):
            near(own, result.detach().numpy(), f"value {k}")
        near(gradients["xs"], xs.grad.numpy(), "xs")
        for name, value in module.named_parameters():
            if name in names:
                near(gradients[names[name]], value.grad.numpy(), names[name])
        for name, value in given.items():
            near(gradients[name], value.grad.numpy(), name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [{}, {"layers": 3}, {"bidirectional": True}, {"layers": 2, "bidirectional": True}],
    ids=["plain", "stacked", "bidirectional", "both"],
)
@pytest.mark.parametrize("more", ["", "state", "lengths", "state lengths"])
def test_values_and_gradients_are_those_of_pytorch(torch, kind, options, more):
    make, own, _ = KINDS[kind]
    steps, batch, features, units = 6, 4, 3, 5
    xs = graphc.input("xs", ("T", "N", features))
    count = options.get("layers", 1) * (1 + options.get("bidirectional", False))
    generator = numpy.random.default_rng(len(kind) + count)
    data: dict[str, Any] = {"xs": generator.normal(size=(steps, batch, features))}
    given: dict[str, Any] = {}
    names = [f"state{k}{letter}" for k in range(count) for letter in STATES[kind]] if "state" in more else []
    if names:
        nodes = [graphc.input(name, ("N", units)) for name in names]
        each = len(STATES[kind])
        states = [tuple(nodes[k : k + each]) if each > 1 else nodes[k] for k in range(0, len(nodes), each)]
        given["state"] = states[0] if count == 1 else tuple(states)
        data |= {name: generator.normal(size=(batch, units)) for name in names}
    if "lengths" in more:
        given["lengths"] = graphc.input("lengths", ("N",), "int32")
        data["lengths"] = numpy.array([6, 1, 4, 3])
    made = make(xs, units, name="a", returns="both", **own, **options, **given)
    judged_by_torch(torch, Judged(made, ("xs", *names)), kind, data, features, units, **options)


def test_every_length_from_1_to_50_has_the_values_and_gradients_of_pytorch(torch):
    judged = Judged(L.lstm(graphc.input("xs", ("T", "N", 2)), 3, name="a", returns="both"))
    generator = numpy.random.default_rng(50)
    for steps in range(1, 51):
        data = {"xs": generator.normal(size=(steps, 2, 2))}
        judged_by_torch(torch, judged, "lstm", data, 2, 3)


# ---- the reference, differences and written out copies ----------------------------------------------------

X, UNITS = (5, 3, 2), 3
LENGTHS = [5, 0, 3]


#: What PyTorch lacks: name -> (layer, options, has lengths).
MADE: dict[str, tuple[Callable[..., Any], dict[str, Any], bool]] = {
    "lstm peephole": (L.lstm, {"peephole": True}, False),
    "lstm coupled": (L.lstm, {"coupled": True}, False),
    "lstm coupled peephole": (L.lstm, {"coupled": True, "peephole": True}, True),
    "gru": (L.gru, {}, False),
    "gru new": (L.gru, {"reset_after": True}, True),
    "gru old": (L.gru, {"update": "old"}, False),
    "rnn sigmoid": (L.rnn, {"activation": "sigmoid"}, False),
    "no bias": (L.gru, {"bias": False}, False),
    "backward": (L.lstm, {"backward": True}, True),
    "learned": (L.lstm, {"state": "parameter", "bidirectional": True}, True),
    "norm": (L.rnn, {"layers": 2, "layer_norm": True}, False),
    "skip": (L.rnn, {"layers": 3, "skip": True}, True),
    "norm and skip both ways": (L.gru, {"layers": 2, "skip": True, "layer_norm": True, "bidirectional": True}, False),
    "dropout": (L.rnn, {"layers": 2, "dropout": 0.3}, False),
    "same dropout": (L.lstm, {"layers": 2, "dropout": 0.3, "variational": True}, False),
    "two steps ago": (L.rnn, {"skip_time": 2}, False),
    "three steps ago": (L.lstm, {"skip_time": 3}, True),
    "three steps ago both ways": (L.gru, {"skip_time": 3, "bidirectional": True, "layers": 2}, True),
}
IMAGES = (3, 2, 2, 3, 4)
CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "learned": {"state": "parameter", "backward": True},
    "both ways": {"layers": 2, "bidirectional": True, "layer_norm": True, "skip": True},
    "same dropout": {"layers": 2, "dropout": 0.25, "variational": True},
    "skip": {"skip_time": 2},
}


def made_case(case: str, steps: Any = X[0]) -> tuple[Judged, dict[str, Any]]:
    make, options, has_lengths = MADE[case]
    xs = graphc.input("xs", (steps, "N", X[2]))
    data: dict[str, Any] = {"xs": numpy.random.default_rng(3).normal(size=X)}
    more: dict[str, Any] = {}
    if has_lengths:
        more["lengths"] = graphc.input("lengths", ("N",), "int32")
        data["lengths"] = numpy.array(LENGTHS)
    return Judged(make(xs, UNITS, name="a", returns="both", **options, **more)), data


def along_a_direction(judged: Judged, gradients: Mapping[str, Any], data: dict[str, Any]) -> None:
    """Compare gradients with central differences of the reference along a direction for each tensor."""
    generator = numpy.random.default_rng(8)
    parameters = {k: numpy.array(v) for k, v in judged.step.parameters.items()}
    states = {name: numpy.array(judged.step.states[name]) for name in judged.kept}
    for name in judged.wrt:
        base = data if name in data else parameters
        direction = generator.normal(size=base[name].shape)
        values = []
        for sign in (1.0, -1.0):
            moved = {**base, name: base[name] + sign * 1e-5 * direction}
            both = {**states, **data, **(moved if base is data else {})}
            run = judged.back.at(parameters=moved if base is parameters else parameters, **both)
            values.append(float(run.value(judged.loss)))
        slope = (values[0] - values[1]) / 2e-5
        assert float((gradients[name] * direction).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-6), name


@pytest.mark.parametrize("case", MADE)
def test_an_option_has_the_gradient_that_differences_have(case):
    judged, data = made_case(case, "T")
    _, gradients = judged.both(**data)
    # each training step draws anew: the reference is asked with the states as they are now
    _, gradients = judged.reference(**data)
    along_a_direction(judged, gradients, data)


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("lengths", [False, True])
def test_the_convolutional_layer_has_the_gradient_that_differences_have(case, lengths):
    xs = graphc.input("xs", ("T", "N", *IMAGES[2:]))
    data: dict[str, Any] = {"xs": numpy.random.default_rng(3).normal(size=IMAGES)}
    more: dict[str, Any] = {}
    if lengths:
        more["lengths"] = graphc.input("lengths", ("N",), "int32")
        data["lengths"] = numpy.array([3, 1])
    judged = Judged(L.conv_lstm(xs, 2, (3, 1), name="a", returns="both", **CONVOLUTIONS[case], **more))
    judged.both(**data)
    _, gradients = judged.reference(**data)
    along_a_direction(judged, gradients, data)


@pytest.mark.parametrize("case", MADE)
def test_a_layer_is_its_cell_written_out(case):
    judged, data = made_case(case)
    values, gradients = judged.reference(**data)
    written = graphc.unrolled(judged.loss)
    assert not any(n.application and n.application.formula.repeats for n in graphc.graph.topological([written]))
    states = {name: numpy.array(judged.step.states[name]) for name in judged.kept}
    parameters = {k: numpy.array(v) for k, v in judged.step.parameters.items()}
    run = graphc.backward(written).at(parameters=parameters, **states, **data)
    near(run.value(written), values[0], "loss")
    for name in judged.wrt:
        near(run.grad(name), gradients[name], name)


def sigmoid(x: numpy.ndarray) -> numpy.ndarray:
    return 1 / (1 + numpy.exp(-x))


def step_by_hand(
    make: Any, options: Mapping[str, Any], own: Mapping[str, Any], x: numpy.ndarray, states: list[numpy.ndarray]
) -> list[numpy.ndarray]:
    """One step of a cell in NumPy; the first state is what the cell sees."""
    h = states[0]
    projected, recurrent = x @ own["weight_x"].T + own.get("bias", 0.0), h @ own["weight_h"].T + own.get("bias_h", 0.0)
    if make is L.rnn:
        return [{"tanh": numpy.tanh, "sigmoid": sigmoid}[options.get("activation", "tanh")](projected + recurrent)]
    if make is L.gru:
        r, z = (sigmoid((projected + recurrent)[:, k * UNITS : (k + 1) * UNITS]) for k in range(2))
        part = slice(2 * UNITS, None)
        if options.get("reset_after"):
            new = numpy.tanh(projected[:, part] + r * recurrent[:, part])
        else:
            new = numpy.tanh(projected[:, part] + (r * h) @ own["weight_h"][part].T)
        weight = 1 - z if options.get("update") == "old" else z
        return [(1 - weight) * h + weight * new]
    c, total = states[1], projected + recurrent
    letters = "fgo" if options.get("coupled") else "ifgo"
    sums = {letter: total[:, k * UNITS : (k + 1) * UNITS] for k, letter in enumerate(letters)}
    seen = own.get("peephole", numpy.zeros(3 * UNITS)).reshape(-1, UNITS)
    forget = sigmoid(sums["f"] + seen[-2] * c)
    entry = 1 - forget if options.get("coupled") else sigmoid(sums["i"] + seen[0] * c)
    memory = forget * c + entry * numpy.tanh(sums["g"])
    return [sigmoid(sums["o"] + seen[-1] * memory) * numpy.tanh(memory), memory]


def direction_by_hand(
    make: Any, options: Mapping[str, Any], own: Mapping[str, Any], x: numpy.ndarray, lengths: Any, *, backward: bool
) -> tuple[numpy.ndarray, list[numpy.ndarray]]:
    """One direction of one layer, example by example: each has its own steps only."""
    back = options.get("skip_time", 0)
    names = ["h", "c"] if make is L.lstm else ["h"]
    outputs = numpy.zeros((*x.shape[:2], UNITS))
    ends = [numpy.zeros((x.shape[1], UNITS)) for _ in range(len(names) + max(back - 1, 0))]
    for n in range(x.shape[1]):
        states = [own.get(f"initial_{name}", numpy.zeros(UNITS))[None] for name in names]
        past = [states[0]]
        steps = range(x.shape[0] if lengths is None else lengths[n])
        for t in reversed(steps) if backward else steps:
            seen = states[0] + past[-back] if 0 < back <= len(past) else states[0]
            new = step_by_hand(make, options, own, x[t, n][None], [seen, *states[1:]])
            past.append(new[0])
            outputs[t, n] = new[0][0]
            states = new
        past = [numpy.zeros((1, UNITS))] * back + past
        earlier = [past[-1 - k] for k in range(1, back)]
        for end, value in zip(ends, [*states, *earlier], strict=True):
            end[n] = value[0]
    return outputs, ends


@pytest.mark.parametrize("case", [case for case in MADE if "dropout" not in case])
def test_a_layer_is_what_its_options_say_in_numpy(case):
    make, options, _ = MADE[case]
    judged, data = made_case(case, "T")
    found, _ = judged.compiled(**data)
    parameters = {name: numpy.array(value) for name, value in judged.step.parameters.items()}
    x, states = data["xs"], []
    ways = ("forward", "backward") if options.get("bidirectional") else ("",)
    layers = options.get("layers", 1)
    for number in range(layers):
        prefix = "a" if layers == 1 else f"a.{number}"
        read = x
        if number and options.get("layer_norm"):
            read = (x - x.mean(-1, keepdims=True)) / numpy.sqrt(x.var(-1, keepdims=True) + 1e-5)
            read = read * parameters[f"{prefix}.norm.gain"] + parameters[f"{prefix}.norm.bias"]
        outputs = []
        for way in ways:
            start = f"{prefix}.{way}." if way else f"{prefix}."
            own = {name.removeprefix(start): value for name, value in parameters.items() if name.startswith(start)}
            backward = way == "backward" or options.get("backward", False)
            out, ends = direction_by_hand(make, options, own, read, data.get("lengths"), backward=backward)
            outputs.append(out)
            states += ends
        joined = numpy.concatenate(outputs, -1)
        x = joined + x if number and options.get("skip") else joined
    for k, (own, expected) in enumerate(zip(found[1:], [x, *states], strict=True)):
        near(own, expected, f"value {k}")


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize(("batch", "units"), [(17, 9), (1, 16), (5, 33)])
def test_float32_on_threads_is_the_reference_to_its_precision(kind, batch, units):
    make, own, _ = KINDS[kind]
    lengths = graphc.input("lengths", ("N",), "int32")
    xs = graphc.input("xs", (7, "N", 4))
    y = make(xs, units, name="a", layers=2, bidirectional=True, lengths=lengths, **own)
    loss = graphc.mean(y * y)
    step = graphc.compile([loss, y], gradients=True, threads=2, seed=4)
    generator = numpy.random.default_rng(4)
    data = {"xs": generator.normal(size=(7, batch, 4)), "lengths": generator.integers(0, 8, batch)}
    run = graphc.backward(loss).at(parameters={k: numpy.array(v) for k, v in step.parameters.items()}, **data)
    (value, found), gradients = step(**data)
    assert found.dtype == "float32"
    assert value == pytest.approx(float(run.value(loss)), rel=1e-5)
    assert found == pytest.approx(run.value(y), rel=1e-4, abs=1e-5)
    assert len(gradients) == len(step.parameters) > 0
    for name, gradient in gradients.items():
        scale = float(numpy.abs(run.grad(name)).max())
        assert gradient == pytest.approx(run.grad(name), abs=1e-4 * scale), name


@pytest.mark.parametrize("options", [{}, {"backward": True}, {"bidirectional": True, "layers": 2, "skip": True}])
def test_images_of_one_place_are_rows(options):
    xs = graphc.input("xs", ("T", "N", 2))
    rows = Judged(L.lstm(xs, 3, name="a", returns="both", **options))
    images = graphc.input("xs", ("T", "N", 2, 1, 1))
    places = Judged(L.conv_lstm(images, 3, 1, name="a", returns="both", **options))
    data = numpy.random.default_rng(3).normal(size=X)
    values, gradients = rows.compiled(xs=data)
    found, slopes = places.compiled(xs=data[..., None, None])
    for own, expected in zip(found, values, strict=True):
        near(own.reshape(expected.shape), expected)
    for name, expected in gradients.items():
        near(slopes[name].reshape(expected.shape), expected, name)


def test_checkpoints_change_nothing():
    data = {"xs": numpy.random.default_rng(3).normal(size=X)}
    found = []
    for every in (None, 2):
        judged = Judged(L.lstm(graphc.input("xs", (X[0], "N", X[2])), 3, name="a", layers=2, checkpoint=every))
        repeated = {
            id(n.application)
            for n in graphc.graph.topological([judged.loss])
            if n.application is not None and n.application.formula.repeats
        }
        assert len(repeated) == (2 if every is None else 2 * 3)  # two layers, in parts of two steps
        found.append(judged.both(**data))
    near(found[0][0][0], found[1][0][0])
    for name in found[0][1]:
        near(found[0][1][name], found[1][1][name], name)


# ---- tokens, lengths, masks ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("options", [{}, {"layers": 2, "bidirectional": True}], ids=["plain", "stacked"])
def test_tokens_are_one_hot_rows(kind, options):
    make, own, _ = KINDS[kind]
    token = numpy.random.default_rng(2).integers(0, 6, (4, 3))
    columns = make(graphc.input("token", ("T", "N"), "int32"), 5, name="a", vocabulary=6, **own, **options)
    rows = make(graphc.input("xs", ("T", "N", 6)), 5, name="a", **own, **options)
    first, second = Judged(columns, ()), Judged(rows, ())
    values, gradients = first.both(token=token)
    expected, slopes = second.both(xs=numpy.eye(6)[token])
    assert [(n, g.shape) for n, g in gradients.items()] == [(n, g.shape) for n, g in slopes.items()]
    near(values[1], expected[1])
    for name in gradients:
        near(gradients[name], slopes[name], name)


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_changes_neither_loss_nor_gradient(kind, bidirectional):
    make, own, _ = KINDS[kind]
    lengths = numpy.array([2, 5, 0, 4])
    node = graphc.input("lengths", ("N",), "int32")
    xs = graphc.input("xs", ("T", "N", 2))
    judged = Judged(make(xs, 3, name="a", layers=2, bidirectional=bidirectional, lengths=node, returns="both", **own))
    generator = numpy.random.default_rng(4)
    data = generator.normal(size=(5, 4, 2))
    padded = numpy.arange(5)[:, None] >= lengths
    values, gradients = judged.both(xs=data, lengths=lengths)
    other = numpy.where(padded[..., None], 100.0, data)
    changed, slopes = judged.both(xs=other, lengths=lengths)
    longer, more = judged.both(xs=numpy.concatenate([other, generator.normal(size=(3, 4, 2))]), lengths=lengths)
    assert not values[1][padded].any()
    assert not gradients["xs"][padded].any()
    for k, value in enumerate(values):
        near(changed[k], value)
        near(longer[k][:5] if k == 1 else longer[k], value)
    for name, gradient in gradients.items():
        near(slopes[name], gradient, name)
        near(more[name][:5] if name == "xs" else more[name], gradient, name)


def test_the_state_of_an_example_without_steps_is_the_initial_one():
    xs, h = graphc.input("xs", ("T", "N", 2)), graphc.input("h", ("N", 3))
    lengths = graphc.input("lengths", ("N",), "int32")
    last = L.rnn(xs, 3, name="a", state=h, lengths=lengths, returns="last")
    given = numpy.arange(6.0).reshape(2, 3)
    found = graphc.compile([last])(xs=numpy.ones((4, 2, 2)), h=given, lengths=[0, 4])[0]
    assert found[0].tolist() == given[0].tolist()
    assert found[1].tolist() != given[1].tolist()


@pytest.mark.parametrize("bidirectional", [False, True])
def test_last_is_the_output_behind_the_last_step_of_each_example(bidirectional):
    lengths = numpy.array([2, 4, 1])
    xs = graphc.input("xs", ("T", "N", 2))
    node = graphc.input("lengths", ("N",), "int32")
    options = {"name": "a", "lengths": node, "bidirectional": bidirectional}
    outputs, last = L.gru(xs, 3, **options), L.gru(xs, 3, returns="last", **options)
    data = {"xs": numpy.random.default_rng(1).normal(size=(4, 3, 2)), "lengths": lengths}
    steps = [graphc.compile([node], dtype="float64", seed=1) for node in (outputs, last)]
    rows, found = (numpy.array(step(**data)[0]) for step in steps)
    expected = rows[lengths - 1, numpy.arange(3)]
    if bidirectional:
        expected[:, 3:] = rows[0, :, 3:]
    near(found, expected)


@pytest.mark.parametrize("steps", [4, "T"])
def test_a_mask_says_which_steps_there_are(steps):
    lengths = graphc.input("lengths", ("N",), "int32")
    xs = graphc.input("xs", (steps, "N", 2))
    mask = L.step_mask(lengths, 4 if steps == 4 else xs)
    assert mask.shape[1] == lengths.shape[0]
    data = {"lengths": [0, 4, 2]} | ({} if steps == 4 else {"xs": numpy.zeros((4, 3, 2))})
    expected = numpy.arange(4)[:, None] < numpy.array([0, 4, 2])
    assert graphc.compile([mask])(**data)[0].tolist() == expected.astype(float).tolist()


def test_variational_dropout_drops_the_same_at_every_step():
    xs = graphc.input("xs", (6, 4, 2))
    y = L.rnn(xs, 20, name="a", layers=2, dropout=0.5, variational=True)
    (dropped,) = [n for n in graphc.graph.topological([y]) if n.gate == "mul"]
    step = graphc.compile([dropped], seed=3)
    first, second = (numpy.array(step(xs=numpy.ones((6, 4, 2)))[0]) == 0 for _ in range(2))
    assert 0.3 < first.mean() < 0.7
    assert (first == first[0]).all()
    assert (first != second).any()
    in_use = graphc.compile([dropped], training=False, seed=3)(xs=numpy.ones((6, 4, 2)))[0]
    assert (in_use != 0).all()


# ---- carried states --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "arguments", "options", "shape"),
    [
        (L.rnn, (3,), {}, (2, 2)),
        (L.lstm, (3,), {"layers": 2}, (2, 2)),
        (L.gru, (3,), {"skip_time": 3}, (2, 2)),
        (L.lstm, (3,), {"vocabulary": 5}, (2,)),
        (L.conv_lstm, (2, 3), {}, (2, 1, 3, 4)),
    ],
    ids=["rnn", "stacked", "skip", "tokens", "images"],
)
def test_chunks_with_a_carried_state_are_one_long_sequence(make, arguments, options, shape):
    chunks, steps = 3, 4
    kind = {"dtype": "int32"} if "vocabulary" in options else {}
    generator = numpy.random.default_rng(6)
    whole = (chunks * steps, *shape)
    data = generator.integers(0, 5, whole) if kind else generator.normal(size=whole)
    y = L.carried(make, graphc.input("xs", (steps, *shape), **kind), *arguments, name="a", **options)
    step = graphc.compile([y], dtype="float64", seed=2)
    long = graphc.compile(
        [make(graphc.input("xs", whole, **kind), *arguments, name="a", **options)], dtype="float64", seed=2
    )
    for name, value in step.parameters.items():
        long.parameters[name][...] = value
    for _ in range(2):  # a text is begun anew
        for state in step.states.values():
            state[...] = 0
        found = [numpy.array(step(xs=data[k * steps : (k + 1) * steps])[0]) for k in range(chunks)]
        near(numpy.concatenate(found), long(xs=data)[0])


def test_gradients_end_at_the_border_of_a_chunk():
    xs = graphc.input("xs", (3, 2, 2))
    carried = Judged(L.carried(L.gru, xs, 4, name="a"))
    given = Judged(L.gru(xs, 4, name="a", state=graphc.input("h", (2, 4))))
    data = numpy.random.default_rng(9).normal(size=(3, 2, 2))
    before = numpy.zeros((2, 4))
    for _ in range(3):
        before = numpy.array(carried.step.states["a.h"])
        values, gradients = carried.both(xs=data)
        expected, slopes = given.both(xs=data, h=before)
        near(values[0], expected[0])
        for name in slopes:
            near(gradients[name], slopes[name], name)
    assert before.any()


# ---- parameters ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "gates", "ones"),
    [
        (lambda xs: L.rnn(xs, 40, name="a"), 1, None),
        (lambda xs: L.lstm(xs, 40, name="a"), 4, 1),
        (lambda xs: L.lstm(xs, 40, name="a", coupled=True), 3, 0),
        (lambda xs: L.gru(xs, 40, name="a"), 3, None),
    ],
    ids=["rnn", "lstm", "coupled", "gru"],
)
def test_initial_weights_keep_signals_and_forget_gates_are_open(make, gates, ones):
    step = graphc.compile([make(graphc.input("xs", ("T", "N", 20)))], seed=1)
    weight_x, weight_h, bias = (step.parameters[f"a.{name}"] for name in ("weight_x", "weight_h", "bias"))
    assert weight_x.shape == (40 * gates, 20)
    assert numpy.abs(weight_x).max() <= numpy.sqrt(6 / 60)
    assert weight_x.std() == pytest.approx(numpy.sqrt(2 / 60), rel=0.1)
    assert numpy.unique(weight_x).size > 0.9 * weight_x.size
    assert numpy.unique(weight_h).size > 0.9 * weight_h.size
    for gate in weight_h.reshape(gates, 40, 40):
        assert gate @ gate.T == pytest.approx(numpy.eye(40), abs=1e-5)
    expected = numpy.zeros((gates, 40))
    if ones is not None:
        expected[ones] = 1
    assert bias.tolist() == expected.reshape(-1).tolist()


def test_parameters_are_named_after_layers_and_directions():
    y = L.gru(graphc.input("xs", ("T", "N", 2)), 3, name="a", layers=2, bidirectional=True, layer_norm=True)
    found = {n.label: n.shape for n in graphc.graph.topological([y]) if n.kind == "parameter"}
    expected: dict[str, tuple[int, ...]] = {"a.1.norm.gain": (6,), "a.1.norm.bias": (6,)}
    for number, features in enumerate((2, 6)):
        for way in ("forward", "backward"):
            prefix = f"a.{number}.{way}"
            expected |= {f"{prefix}.weight_x": (9, features), f"{prefix}.weight_h": (9, 3), f"{prefix}.bias": (9,)}
    assert found == expected
    assert y.name == "a"


def test_given_weights_and_initialisers_are_used():
    xs = graphc.input("xs", ("T", "N", 2))
    weight = numpy.arange(6.0).reshape(3, 2)
    y = L.rnn(xs, 3, name="a", initial=weight, initial_h=graphc.zeros(), bias=False)
    step = graphc.compile([y])
    assert step.parameters["a.weight_x"].tolist() == weight.tolist()
    assert not step.parameters["a.weight_h"].any()
    assert "a.bias" not in step.parameters
    images = L.conv_lstm(graphc.input("xs", IMAGES), 3, 3, name="a", initial=graphc.zeros(), initial_h=0.5)
    step = graphc.compile([images])
    assert not step.parameters["a.weight_x"].any()
    assert (step.parameters["a.weight_h"] == 0.5).all()


def test_zeros_as_the_initial_state_cost_no_more_than_a_given_one():
    states = {"zeros": None, "given": (graphc.input("h", ("N", 3)), graphc.input("c", ("N", 3)))}
    plans = {}
    for case, state in states.items():
        y = L.lstm(graphc.input("xs", (4, "N", 2)), 3, name="a", state=state)
        plans[case] = graphc.compile([graphc.sum(y * y)], gradients=["a.weight_x"], threads=1).plan
    assert len(plans["zeros"].launches) <= len(plans["given"].launches)


# ---- what is refused -------------------------------------------------------------------------------------


def sequences() -> Node:
    return graphc.input("xs", ("T", "N", 2))


def tokens() -> Node:
    return graphc.input("words", ("T", "N"), "int32")


def state_of(units: int, name: str = "before") -> Node:
    return graphc.input(name, ("N", units))


ODD: dict[str, Any] = {"peephole": 2}
REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "state": (lambda: L.rnn(sequences(), 3, name="a", state=state_of(4)), r"h of 'a' needs \(N, 3\).*\(N, 4\)"),
    "memory": (
        lambda: L.lstm(sequences(), 3, name="a", state=(state_of(3), state_of(4, "memory"))),
        r"lstm 'a': the initial state c of 'a' needs \(N, 3\) floats, found \(N, 4\) float32: 'memory' declared at",
    ),
    "one of two states": (lambda: L.lstm(sequences(), 3, name="a", state=state_of(3)), r"tuple \(h, c\), found before"),
    "states of layers": (
        lambda: L.rnn(sequences(), 3, name="a", layers=2, state=state_of(3)), "a tuple with 2 items.*found Node",
    ),
    "state of the second layer": (
        lambda: L.rnn(sequences(), 3, name="a", layers=2, state=(None, state_of(2))), r"of 'a.1' needs \(N, 3\)",
    ),
    "unknown state": (lambda: L.rnn(sequences(), 3, name="a", state="zeros"), "state='zeros' must be nodes"),
    "rank": (lambda: L.rnn(state_of(3), 3, name="a"), r"sequences \(T, N, features\), steps first, found \(N, 3\)"),
    "features": (lambda: L.rnn(graphc.input("xs", ("T", "N", "D")), 3, name="a"), "steps first, found"),
    "images": (lambda: L.conv_lstm(sequences(), 3, 3, name="a"), r"sequences of images \(T, N, C, H, W\)"),
    "even filters": (
        lambda: L.conv_lstm(graphc.input("xs", IMAGES), 3, (3, 2), name="a"), r"size=\(3, 2\) must be odd",
    ),
    "channels": (lambda: L.conv_lstm(graphc.input("xs", IMAGES), 0, 3, name="a"), "channels=0 must be a whole number"),
    "tokens": (lambda: L.rnn(tokens(), 3, name="a"), "'words' .* holds whole numbers.*\n  Try: vocabulary=V"),
    "tokens of rank 3": (
        lambda: L.rnn(graphc.input("words", (4, "N", 2), "int32"), 3, name="a", vocabulary=5), r"needs tokens \(T, N\)",
    ),
    "no tokens": (lambda: L.rnn(sequences(), 3, name="a", vocabulary=5), "vocabulary=5 .*'xs' holds floats"),
    "vocabulary": (lambda: L.rnn(tokens(), 3, name="a", vocabulary=0), "vocabulary=0 must be a whole number"),
    "units": (lambda: L.rnn(sequences(), False, name="a"), "units=False must be a whole number"),
    "option": (lambda: L.gru(sequences(), 3, name="a", layer=2), "'layer'; did you mean 'layers'.*there are: state"),
    "value": (lambda: L.gru(sequences(), 3, name="a", returns="all"), "returns='all' must be one of 'sequence'"),
    "flag": (lambda: L.gru(sequences(), 3, name="a", skip=1), "skip=1 must be True or False"),
    "count": (lambda: L.gru(sequences(), 3, name="a", layers=2.0), "layers=2.0 must be a whole number"),
    "no layers": (lambda: L.gru(sequences(), 3, name="a", layers=0), "layers=0 must be at least 1"),
    "peephole": (lambda: L.lstm(sequences(), 3, name="a", **ODD), "peephole=2 must be True or False"),
    "activation": (lambda: L.rnn(sequences(), 3, name="a", activation="step"), "activation='step' must be one of"),
    "update": (lambda: L.gru(sequences(), 3, name="a", update="both"), "update='both' must be 'new'"),
    "skip_time": (lambda: L.gru(sequences(), 3, name="a", skip_time=1), "skip_time=1 must be at least 2"),
    "between": (lambda: L.gru(sequences(), 3, name="a", dropout=0.5), "dropout=0.5 acts between layers, but layers=1"),
    "no dropout": (lambda: L.gru(sequences(), 3, name="a", layers=2, variational=True), "but dropout=0"),
    "directions": (lambda: L.gru(sequences(), 3, name="a", backward=True, bidirectional=True), "give one of them"),
    "lengths": (
        lambda: L.gru(sequences(), 3, name="a", lengths=tokens()),
        r"one whole number for each example, shape \(N,\); found 'words' \(T, N\) int32",
    ),
    "float lengths": (lambda: L.gru(sequences(), 3, name="a", lengths=graphc.input("l", ("N",))), r"'l' \(N,\) float"),
    "lengths of another batch": (
        lambda: L.gru(sequences(), 3, name="a", lengths=graphc.input("l", ("M",), "int32")), r"\(N,\); found 'l'",
    ),
    "mask": (lambda: L.step_mask(tokens(), 3), r"shape \(N,\); found \(T, N\): 'words' declared at"),
    "carried batch": (lambda: L.carried(L.rnn, sequences(), 3, name="a"), r"needs numbers .*found \(N, 3\)"),
    "carried state": (lambda: L.carried(L.rnn, sequences(), 3, name="a", state=state_of(3)), "state= cannot be given"),
    "carried backward": (lambda: L.carried(L.rnn, sequences(), 3, name="a", bidirectional=True), "bidirectional= c"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_where_it_was_called(case):
    make, wanted = REFUSED[case]
    with pytest.raises(ShapeError, match=f"(?s){wanted}") as error:
        make()
    assert "test_recurrent.py" in str(error.value)


@pytest.mark.parametrize(
    ("lengths", "token", "wanted"),
    [
        ([3, 5], 0, "'lengths' is used as an index by step mask: it must hold integers from 0 to 4, found 5"),
        ([-1, 2], 0, "'lengths' .* from 0 to 4, found -1"),
        ([3, 4], 6, "'words' is used as an index by .*: it must hold integers from 0 to 5, found 6"),
        ([3, 4], -1, "'words' .* from 0 to 5, found -1"),
    ],
)
def test_data_out_of_range_is_refused_with_its_name(lengths, token, wanted):
    y = L.lstm(tokens(), 3, name="a", vocabulary=6, lengths=graphc.input("lengths", ("N",), "int32"))
    step = graphc.compile([y])
    step(words=numpy.zeros((4, 2), "int32"), lengths=[0, 4])
    with pytest.raises(DataError, match=wanted):
        step(words=numpy.full((4, 2), token), lengths=lengths)


def test_every_option_is_documented():
    text = Options.__doc__ or ""
    for name in Options.__dataclass_fields__:
        assert f"    {name}" in text or f", {name} :" in text, name
