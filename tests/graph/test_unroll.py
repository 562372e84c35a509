"""`graphc.unroll`: what it refuses, and that it computes what the written out copies of the cell compute."""

from __future__ import annotations

import copy
import json

import numpy
import pytest

import graphc
from graphc.errors import DataError, ShapeError
from graphc.graph import topological
from graphc.graph.reference import evaluate
from graphc.training.graph_text import graph_from, graph_to
from tests.planning import recurrences
from tests.planning.recurrences import RECURRENCES, flattened, loss_of, values_of


def name_of(value):
    return getattr(value, "__name__", str(value))


def plain_rnn(steps=4, **options):
    x, h = graphc.input("x", (steps, "N", 2), "float64"), graphc.input("h", ("N", 3), "float64")
    w, u = graphc.input("w", (3, 2), "float64"), graphc.input("u", (3, 3), "float64")

    def cell(x, h):
        h = graphc.rnn_cell(x, h, w, u)
        return h, h

    return graphc.unroll(cell, x, h, **options)


def compared(root, other, values=None, sizes=None):
    """Values of two scalars, and their gradients by every leaf."""
    values = values_of([root], sizes or {"N": 3}) if values is None else values
    leaves = [node for node in values if node.is_float]
    one, two = (graphc.backward(loss, wrt=leaves) for loss in (root, other))
    found = evaluate([root, *(one.grad(n) for n in leaves)], values)
    expected = evaluate([other, *(two.grad(n) for n in leaves)], values)
    for name, actual, right in zip(["value", *(n.label for n in leaves)], found, expected, strict=True):
        numpy.testing.assert_allclose(actual, right, rtol=1e-10, atol=1e-12, err_msg=name)


# ---- written out ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("build", RECURRENCES, ids=name_of)
def test_unrolled_is_the_repeat_in_value_and_gradients(build, backward):
    for steps in (1, 3):
        loss = loss_of(build(steps, backward=backward))
        flat = graphc.unrolled(loss)
        assert not any(n.application and n.application.formula.repeats for n in topological([flat]))
        compared(loss, flat)


def test_an_rnn_is_what_numpy_computes():
    for backward in (False, True):
        outputs, last = plain_rnn(5, backward=backward)
        values = values_of([outputs], {"N": 3})
        given = {n.label: v for n, v in values.items()}
        h, rows = given["h"], [None] * 5
        for t in reversed(range(5)) if backward else range(5):
            h = numpy.tanh(given["x"][t] @ given["w"].T + h @ given["u"].T)
            rows[t] = h
        found = evaluate([outputs, last], values)
        numpy.testing.assert_allclose(found[0], numpy.stack(rows), rtol=1e-12)
        numpy.testing.assert_allclose(found[1], h, rtol=1e-12)


def test_a_cell_may_use_what_another_unroll_computed():
    hidden, last = plain_rnn(3)
    context = graphc.sum(hidden, 0) + last
    x, g = graphc.input("z", (4, "N", 3), "float64"), graphc.input("g", ("N", 3), "float64")
    outputs, final = graphc.unroll(lambda x, g: (graphc.tanh(g * context + x),) * 2, x, g, backward=True)
    loss = graphc.sum(outputs * outputs) + graphc.sum(final * last)
    flat = graphc.unrolled(loss)
    assert not any(n.application and n.application.formula.repeats for n in topological([flat]))
    compared(loss, flat)


def test_the_end_of_one_sequence_begins_the_next():
    """Encoder and decoder: the second unroll starts with the state of the first, and reads it at every step."""
    _, state = plain_rnn(3)
    v = graphc.input("v", (3, 3), "float64")
    y = graphc.input("y", (5, "N", 3), "float64")
    outputs, final = graphc.unroll(lambda y, s: (s * state, graphc.tanh(s @ v + y)), y, state)
    loss = graphc.sum(outputs * outputs) + graphc.sum(final)
    compared(loss, graphc.unrolled(loss))


def test_one_unroll_twice_and_its_parts():
    outputs, last = plain_rnn(3)
    for root in (graphc.sum(last), graphc.sum(outputs), graphc.sum(outputs[1:] * outputs[:-1]), graphc.sum(outputs[0])):
        compared(root, graphc.unrolled(root))
    assert graphc.unrolled(last).shape == last.shape
    values = values_of([last], {"N": 2})
    numpy.testing.assert_allclose(*evaluate([graphc.unrolled(outputs), outputs], values), rtol=1e-12)


def test_nodes_of_a_written_out_cell_are_named_with_their_step():
    x, h = graphc.input("x", (3, "N"), "float64"), graphc.input("h", ("N",), "float64")

    def cell(x, h):
        new = graphc.tanh(x + h).named("new")
        return new, new

    flat = graphc.unrolled(graphc.sum(graphc.unroll(cell, x, h)[1]))
    names = {node.name for node in topological([flat])}
    assert {"new[0]", "new[1]", "new[2]"} <= names


def test_steps_known_at_run_time_cannot_be_written_out():
    outputs, _ = plain_rnn("T", name="recurrent")
    with pytest.raises(ShapeError) as error:
        graphc.unrolled(graphc.sum(outputs))
    assert "recurrent" in str(error.value)
    assert "T" in str(error.value)
    assert "test_unroll.py" in str(error.value)


def test_a_graph_without_repeats_stays_as_it_is():
    x = graphc.input("x", (3,))
    loss = graphc.sum(x * x)
    assert graphc.unrolled(loss) is loss


def test_what_does_not_depend_on_the_step_is_kept_once():
    """A captured gate is not copied for each step."""
    x, h, w = (graphc.input(name, shape, "float64") for name, shape in (("x", (6, 3)), ("h", (3,)), ("w", (3,))))
    strong = graphc.exp(w)
    _, last = graphc.unroll(lambda x, h: (graphc.tanh(h * strong + x),) * 2, x, h)
    gates = [n.gate for n in topological([graphc.unrolled(graphc.sum(last))])]
    assert gates.count("exp") == 1
    assert gates.count("tanh") == 6


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("every", [1, 2, 3, 7, 20])
def test_checkpoints_change_no_number(every, backward):
    loss = loss_of(plain_rnn(7, backward=backward))
    other = loss_of(recurrences.lstm(7, backward=backward, checkpoint=every))
    compared(other, graphc.unrolled(other))
    kept = loss_of(plain_rnn(7, backward=backward, checkpoint=every))
    values = values_of([loss], {"N": 2})
    by_name = {n.label: v for n, v in values.items()}
    found = evaluate([kept], {n: by_name[n.label] for n in values_of([kept], {"N": 2})})
    numpy.testing.assert_allclose(found[0], evaluate([loss], values)[0], rtol=1e-12)


# ---- structure -----------------------------------------------------------------------------------------


def test_outputs_and_states_keep_their_structure():
    x, z = graphc.input("x", (4, "N", 2), "float64"), graphc.input("z", (4, 3), "int32")
    a, b = graphc.input("a", ("N", 2), "float64"), graphc.input("b", (), "float64")

    def cell(given, state):
        (x, z), (a, (b,)) = given, state
        assert isinstance(given, tuple)
        assert isinstance(state[1], tuple)
        assert (x.shape[1:], z.shape, b.shape) == ((2,), (3,), ())
        return (a * b, ((x, z), b)), (a + x, (b * 0.5,))

    (first, ((second, third), fourth)), (a_last, (b_last,)) = graphc.unroll(cell, (x, z), (a, (b,)))
    n = x.shape[1]
    assert [o.shape for o in (first, second, third, fourth)] == [(4, n, 2), (4, n, 2), (4, 3), (4,)]
    assert [o.shape for o in (a_last, b_last)] == [(n, 2), ()]
    assert third.dtype == "int32"
    values = values_of([first, third], {"N": 3})
    found = evaluate([second, third, fourth, b_last], values)
    by_name = {node.label: v for node, v in values.items()}
    numpy.testing.assert_array_equal(found[0], by_name["x"])
    numpy.testing.assert_array_equal(found[1], by_name["z"])
    numpy.testing.assert_allclose(found[2], by_name["b"] * 0.5 ** numpy.arange(4))
    numpy.testing.assert_allclose(found[3], by_name["b"] * 0.5**4)


def test_a_cell_may_have_no_output_and_no_input():
    h = graphc.input("h", (2,), "float64")
    outputs, last = graphc.unroll(lambda x, h: (x, h * 2), None, h, 5)
    assert outputs is None
    assert evaluate([last], {h: numpy.array([1.0, 3.0])})[0].tolist() == [32.0, 96.0]


def test_numbers_and_lists_are_taken_for_nodes():
    x = graphc.input("x", (3,), "float64")
    outputs, last = graphc.unroll(lambda x, s: ([x[0] + s[0], 1.5], [s[0] + x[0]]), [x], [graphc.constant(0.0)])
    assert isinstance(outputs, tuple)
    found = evaluate([outputs[0], outputs[1], last[0]], {x: numpy.array([1.0, 2.0, 4.0])})
    assert [value.tolist() for value in found] == [[1.0, 3.0, 7.0], [1.5, 1.5, 1.5], 7.0]


def test_the_cell_is_called_once():
    calls = []

    def cell(x, h):
        calls.append(x.shape)
        return h, h + x

    graphc.unroll(cell, graphc.input("x", (1000, 3)), graphc.input("h", (3,)))
    assert calls == [(3,)]


def test_integers_stay_integers():
    token, n = graphc.input("token", (4, "N"), "int32"), graphc.input("n", ("N",), "int32")
    counts, last = graphc.unroll(lambda token, n: (n * token, n + token), token, n)
    assert (counts.dtype, last.dtype) == ("int32", "int32")
    values = {token: numpy.array([[1, 2], [3, 4], [5, 6], [7, 8]]), n: numpy.array([1, 10])}
    found = evaluate([counts, last], values)
    assert found[0].tolist() == [[1, 20], [6, 48], [25, 96], [70, 176]]
    assert found[1].tolist() == [17, 30]
    ran = graphc.compile([counts, last])(token=values[token], n=values[n])
    assert [value.tolist() for value in ran] == [value.tolist() for value in found]


# ---- what is refused -----------------------------------------------------------------------------------


def refused(*words, **arguments):
    """The message of an unroll that is refused; the defaults are fine."""
    given = {
        "cell": lambda x, h: (h, h + x),
        "inputs": graphc.input("x", (4, "N", 3)),
        "state": graphc.input("memory", ("N", 3)),
    } | arguments
    with pytest.raises(ShapeError) as error:
        graphc.unroll(**given)
    message = str(error.value)
    for word in (*words, "test_unroll.py"):
        assert word in message, message
    return message


def test_a_state_that_changes_its_shape_is_named_with_both_shapes_and_places():
    wide = graphc.input("wide", (3, 5))
    state = graphc.input("memory", ("N", 3))
    message = refused("'memory'", "(N, 3)", "(N, 5)", cell=lambda x, h: (h, h @ wide + 0 * (x @ wide)), state=state)
    assert message.count("test_unroll.py") == 3  # the state, the node that it turns into, and the unroll
    assert f"state declared at {state.site}" in message


def test_the_second_of_two_states_is_named():
    states = graphc.input("a", (3,)), graphc.input("b", (3,))
    refused("'b'", "(3,)", "()", "'layer'", cell=lambda x, s: (x, (s[0], graphc.sum(s[1] + x))), state=states,
            inputs=graphc.input("x", (4, 3)), name="layer")  # fmt: skip


def test_a_state_that_changes_its_dtype_is_named_with_both():
    refused("int32", "float", cell=lambda x, n: (n, n * 0.5), inputs=None, state=graphc.input("n", (3,), "int32"),
            steps=2)  # fmt: skip


def test_a_cell_that_loses_a_state():
    states = graphc.input("a", (3,)), graphc.input("b", (3,))
    refused("2 states", "1", cell=lambda _, s: (s[0], (s[1],)), inputs=None, state=states, steps=2)


def test_sequences_of_different_lengths():
    inputs = graphc.input("x", (4, 3)), graphc.input("y", (5, 3))
    refused("x (4, 3)", "y (5, 3)", inputs=inputs, state=graphc.input("h", (3,)))
    refused("x (4, 3)", "steps=7", inputs=inputs[0], steps=7, state=graphc.input("h", (3,)))


def test_no_steps_at_all():
    refused("no inputs", inputs=None)
    refused("at least one step", "0", inputs=graphc.input("x", (0, "N", 3)))
    refused("at least one step", inputs=None, steps=0)
    refused("at least one step", inputs=None, steps=-2)
    refused("scalar", "'x'", inputs=graphc.input("x", ()))


@pytest.mark.parametrize("steps", ["T", 2.5, True])
def test_a_number_of_steps_is_whole(steps):
    refused(repr(steps), cell=lambda _, h: (h, h), inputs=None, steps=steps)


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        (lambda _, h: h, "Node"),
        (lambda _, h: (h, h, h), "tuple"),
        (lambda _, h: [h, h], "list"),
        (lambda *_: None, "NoneType"),
    ],
)
def test_a_cell_that_returns_something_else(cell, word):
    refused("must return (output, new state)", word, cell=cell)


@pytest.mark.parametrize(
    ("cell", "word"),
    [(lambda _, h: ({"h": h}, h), "dict"), (lambda _, h: (h, "h"), "str"), (lambda _, h: (h, {h}), "set")],
)
def test_a_cell_whose_output_or_state_is_no_node(cell, word):
    refused(word, cell=cell)


def test_inputs_and_states_that_are_no_nodes():
    refused("inputs", "str", inputs="x")
    refused("state", "dict", state={"h": graphc.input("h", (3,))})


def test_random_numbers_inside_of_a_cell():
    key = graphc.input("key", (2,), "int32")
    refused("dropout", "every step", cell=lambda x, h: (h, graphc.dropout(h + x, key)))
    refused("dropout", "every step", cell=lambda x, h: (graphc.layers.dropout(x, name="drop"), h))


def test_an_unroll_inside_of_a_cell():
    def cell(x, h):
        _, inner = graphc.unroll(lambda _, g: (g, g * 0.5), None, h + x, 3)
        return inner, inner

    refused("outside of the cell", cell=cell)


def test_errors_inside_of_the_cell_are_those_of_its_gates():
    with pytest.raises(ShapeError, match="matmul"):
        graphc.unroll(lambda x, h: (h, h @ x), graphc.input("x", (4, 2, 3)), graphc.input("h", (2, 3)))


@pytest.mark.parametrize("every", [0, -1, 2.5, True])
def test_a_checkpoint_is_a_whole_number_of_steps(every):
    refused("checkpoint", repr(every), checkpoint=every)


def test_checkpoints_need_a_known_number_of_steps():
    refused("checkpoint", "T", inputs=graphc.input("x", ("T", "N", 3)), checkpoint=2)


# ---- looking at it -------------------------------------------------------------------------------------


def trainable():
    x = graphc.input("x", (5, "N", 2))
    h0, c0 = graphc.input("h0", ("N", 3)), graphc.input("c0", ("N", 3))
    wx, wh, b = graphc.parameter("Wx", (12, 2)), graphc.parameter("Wh", (12, 3)), graphc.parameter("b", (12,))

    def cell(x, state):
        h, c = graphc.lstm_cell(x, *state, wx, wh, b)
        return h, (h, c)

    outputs, (_, c) = graphc.unroll(cell, x, (h0, c0), name="lstm")
    return graphc.sum(outputs * outputs) + graphc.sum(c)


def data(batch=4):
    generator = numpy.random.default_rng(0)
    shapes = {"x": (5, batch, 2), "h0": (batch, 3), "c0": (batch, 3)}
    return {name: generator.normal(size=shape).astype("float32") for name, shape in shapes.items()}


def test_chain_rule_table_names_the_repeat():
    text = str(graphc.backward(trainable()))
    assert "lstm" in text
    for name in ("Wx", "Wh", "b"):
        assert name in text


def test_a_drawing_shows_the_repeat_and_its_copies(tmp_path):
    loss = trainable()
    graphc.draw(loss, tmp_path / "repeat.svg")
    graphc.draw(graphc.unrolled(loss), tmp_path / "copies.svg")
    texts = [(tmp_path / f"{name}.svg").read_text() for name in ("repeat", "copies")]
    assert all(text.startswith(("<?xml", "<svg")) for text in texts)
    assert len(texts[1]) > len(texts[0])


def test_counting_a_repeat_grows_with_its_steps():
    def work(steps):
        outputs, _ = plain_rnn(steps)
        return graphc.count(graphc.sum(outputs))

    assert str(work(5)) != str(work(50))


def test_formulas_of_gradients_show_the_steps():
    back = graphc.backward(trainable())
    assert "for t from the last down:" in str(back.formula("Wx"))


# ---- numbers that are no numbers -----------------------------------------------------------------------


def overflowing(**options):
    x, h = graphc.input("x", (6, "N"), "float64"), graphc.input("h", ("N",), "float64")
    return graphc.unroll(lambda x, h: (h, graphc.exp(x + 0.5 * h) - h), x, h, name="growing", **options)


def test_check_numerics_names_the_first_step_with_an_infinity():
    for step in (0, 3, 5):
        program = graphc.compile(overflowing(), dtype="float64", check_numerics=True)
        x = numpy.zeros((6, 3))
        program(x=x, h=numpy.zeros(3))
        x[step, 1] = 800.0
        with pytest.raises(DataError) as error:
            program(x=x, h=numpy.zeros(3))
        assert f"step {step} of 6" in str(error.value)
        assert "growing" in str(error.value)
        assert "1 infinite values among 3" in str(error.value)


def test_a_program_goes_on_after_an_infinity():
    program = graphc.compile(overflowing(), dtype="float64", check_numerics=True)
    x = numpy.zeros((6, 3))
    right = program(x=x, h=numpy.zeros(3))[1].copy()
    wrong = x.copy()
    wrong[2, 1] = 800.0
    with pytest.raises(DataError):
        program(x=wrong, h=numpy.zeros(3))
    numpy.testing.assert_array_equal(program(x=x, h=numpy.zeros(3))[1], right)


def test_check_numerics_of_the_way_back():
    """A root at 0: the value is finite, its slope is not."""
    x, h = graphc.input("x", (4, "N"), "float64"), graphc.input("h", ("N",), "float64")
    outputs, last = graphc.unroll(lambda x, h: (h, graphc.sqrt(x * h)), x, h)
    loss = graphc.sum(outputs) + graphc.sum(last)
    program = graphc.compile([loss], gradients=["x"], dtype="float64", check_numerics=True)
    given = numpy.ones((4, 2))
    program(x=given, h=numpy.ones(2))
    given[2, 0] = 0.0
    with pytest.raises(DataError, match="gradient"):
        program(x=given, h=numpy.ones(2))


def test_check_numerics_changes_no_result():
    loss = trainable()
    checked, plain = (graphc.compile([loss], gradients=True, check_numerics=flag) for flag in (True, False))
    (one,), first = checked(**data())
    (two,), second = plain(**data())
    numpy.testing.assert_array_equal(one, two)
    for name in first:
        numpy.testing.assert_array_equal(first[name], second[name])


def test_an_index_out_of_range_at_a_later_step_is_found():
    """The element of the state that a token names: read inside of the step, so checked for every step."""
    pick = graphc.gate("y[n,j] = tanh(h[n, k[n]] + h[n,j])", name="pick")
    token, h = graphc.input("token", (4, "N"), "int32"), graphc.input("h", ("N", 3), "float64")
    outputs, _ = graphc.unroll(lambda token, h: (pick(h, token),) * 2, token, h)
    program = graphc.compile([outputs], dtype="float64")
    given = numpy.array([[0, 1], [2, 0], [1, 1], [0, 2]])
    values = {token: given, h: numpy.ones((2, 3))}
    numpy.testing.assert_allclose(program(token=given, h=values[h])[0], evaluate([outputs], values)[0], rtol=1e-12)
    for step in range(4):
        wrong = given.copy()
        wrong[step, 1] = 1000
        with pytest.raises(DataError, match="1000"):
            program(token=wrong, h=values[h])


# ---- saving --------------------------------------------------------------------------------------------


def test_a_trainer_with_a_repeat_is_saved_and_loaded(tmp_path):
    made = graphc.Trainer(trainable(), optimizer=graphc.SGD(0.01), seed=1)
    made.fit(data(8), batch_size=4, epochs=2, progress=False)
    loaded = graphc.Trainer.load(made.save(tmp_path / "lstm.graphc"))
    for name, array in made.parameters.items():
        assert array.any()
        numpy.testing.assert_array_equal(loaded.parameters[name], array)
    for trainer in (loaded, made):
        trainer.fit(data(8), batch_size=4, epochs=4, progress=False)
    for name, array in made.parameters.items():
        numpy.testing.assert_array_equal(loaded.parameters[name], array)


@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
@pytest.mark.parametrize("build", RECURRENCES, ids=name_of)
def test_a_repeat_written_and_read_is_the_same_repeat(build, backward):
    made = build(4, backward=backward)
    roots = [loss_of(made), *flattened(made[0])]
    graph, arrays = graph_to(roots)
    nodes, read = graph_from(json.loads(json.dumps(graph)), arrays)
    values = values_of(roots, {"N": 2})
    by_name = {n.label: v for n, v in values.items()}
    leaves = {n: by_name[n.label] for n in topological(read) if n.label in by_name and n.application is None}
    for actual, right in zip(evaluate(read, leaves), evaluate(roots, values), strict=True):
        numpy.testing.assert_array_equal(actual, right)
    assert len(nodes) == len(topological(roots))
    again, _ = graph_to(read)
    assert again == graph


def test_named_steps_and_checkpoints_are_kept():
    for made in (plain_rnn("T"), plain_rnn(5, checkpoint=2)):
        roots = [graphc.sum(made[0])]
        graph, arrays = graph_to(roots)
        _, read = graph_from(graph, arrays)
        assert graph_to(read)[0] == graph
        if made[0].shape[0] == 5:
            compared(read[0], graphc.unrolled(read[0]))


def damages():
    """Changes to a stored unroll, by name."""

    def put(*path):
        *keys, last, value = path

        def change(stored):
            for key in keys:
                stored = stored[key]
            stored[last] = value

        return change

    found = {f"no {key}": (lambda stored, key=key: stored.pop(key)) for key in
             ("steps", "backward", "sequences", "initial", "body", "applications", "outputs", "following")}  # fmt: skip
    found |= {
        "a sequence that is not there": put("sequences", 0, 10_000),
        "a negative position": put("initial", 0, -1),
        "a sequence that comes later": put("sequences", 0, "x"),
        "steps that differ": put("steps", 3),
        "no steps": put("steps", 0),
        "steps that are text": put("steps", "many"),
        "states and successors that differ in number": lambda stored: stored["following"].pop(),
        "an output beyond the body": put("outputs", 0, 999),
        "a state beyond the states": lambda stored: (
            stored["body"].append({"state": 7}) or stored["outputs"].append(len(stored["body"]) - 1)
        ),
        "an outside node that is not there": lambda stored: stored["body"].insert(0, {"outside": 12345}),
        "a body that is no list": put("body", 3),
        "an entry that is no mapping": put("body", 0, None),
        "another gate": lambda stored: stored["applications"][0].update(gate="nothing", formula="import os"),
        "an operand beyond the body": lambda stored: stored["applications"][0].update(operands=[99] * 6),
    }
    return found


@pytest.mark.parametrize("name", damages())
def test_a_damaged_unroll_is_refused(name):
    graph, arrays = graph_to([trainable()])
    damaged = copy.deepcopy(graph)
    (stored,) = [a for a in damaged["applications"] if "unroll" in a]
    damages()[name](stored)
    with pytest.raises(graphc.CheckpointError):
        graph_from(damaged, arrays)
    graph_from(graph, arrays)


def test_a_file_whose_unroll_is_damaged_is_refused(tmp_path):
    path = graphc.Trainer(trainable(), optimizer=graphc.SGD(0.1)).save(tmp_path / "a.graphc")
    raw = bytearray(path.read_bytes())
    place = raw.index(b"unroll")
    raw[place] ^= 1
    path.write_bytes(raw)
    with pytest.raises(graphc.CheckpointError):
        graphc.Trainer.load(path)
