"""The trainer: learning, means over examples, equal bits for equal seeds, and errors that teach."""

from __future__ import annotations

import io
import sys
from xml.etree import ElementTree

import numpy
import pytest

import graphc
from tests.training.networks import blobs, classifier, trainer


def test_training_lowers_the_loss_and_raises_the_accuracy():
    made = trainer()
    before = made.evaluate(blobs())
    history = made.fit(blobs(), batch_size=16, epochs=12, validation=blobs(30))
    after = made.evaluate(blobs())
    assert after["loss"] < 0.3 * before["loss"]
    assert after["accuracy"] > 0.95
    assert len(history) == 12 == made.epoch
    assert history["validation accuracy"][-1] > 0.9
    assert made.steps == 12 * 5  # 70 examples: four batches of 16 and one of 6


def test_the_last_smaller_batch_is_trained_too():
    data = blobs(17)
    whole, cut = trainer(), trainer()
    whole.fit([data], epochs=1)
    cut.fit(data, batch_size=16, epochs=1, shuffle=False)
    assert (whole.steps, cut.steps) == (1, 2)
    third = trainer()
    third.fit([{k: v[:16] for k, v in data.items()}, {k: v[16:] for k, v in data.items()}])
    for name, array in cut.parameters.items():
        numpy.testing.assert_array_equal(array, third.parameters[name])


def test_means_are_over_examples_not_over_batches():
    made, data = trainer(dtype="float64"), blobs(70)
    together = made.evaluate(data, batch_size=70)
    for size in (1, 16, 69):
        in_parts = made.evaluate(data, batch_size=size)
        assert in_parts["loss"] == pytest.approx(together["loss"], rel=1e-12)
        assert in_parts["accuracy"] == pytest.approx(together["accuracy"], rel=1e-12)


def test_history_of_training_is_weighted_by_the_examples_of_a_batch():
    # with a rate of 0 nothing moves, so the mean over an epoch is the loss of the whole
    made, data = trainer(graphc.SGD(0.0), dtype="float64"), blobs(70)
    history = made.fit(data, batch_size=64)
    assert history["loss"][0] == pytest.approx(made.evaluate(data)["loss"], rel=1e-12)


def test_equal_seeds_give_equal_bits_and_others_do_not():
    runs = []
    for seed in (0, 0, 1):
        made = trainer(seed=seed)
        history = made.fit(blobs(), batch_size=16, epochs=3)
        runs.append((history["loss"], {k: v.copy() for k, v in made.parameters.items()}))
    assert runs[0][0] == runs[1][0]
    for name, array in runs[0][1].items():
        numpy.testing.assert_array_equal(array, runs[1][1][name])
    assert runs[0][0] != runs[2][0]


def test_each_epoch_has_its_own_order_and_fits_in_a_row_continue():
    one, two = trainer(), trainer()
    one.fit(blobs(), batch_size=16, epochs=4)
    two.fit(blobs(), batch_size=16, epochs=2)
    history = two.fit(blobs(), batch_size=16, epochs=2)
    assert history["epoch"] == [3, 4]
    assert two.history["loss"] == one.history["loss"]
    for name, array in one.parameters.items():
        numpy.testing.assert_array_equal(array, two.parameters[name])


def test_datasets_dicts_and_iterables_of_dicts_are_data():
    data = graphc.datasets.digits("test")
    image = graphc.input("image", ("N", 1, 8, 8))
    label = graphc.input("label", ("N",), dtype="int64")
    scores = graphc.layers.dense(graphc.flatten(image), 10, name="scores")
    made = graphc.Trainer(graphc.softmax_cross_entropy(scores, label), optimizer=graphc.SGD(0.1))
    made.fit(data, epochs=1)
    made.fit({"image": data.image, "label": data.label, "unused": numpy.zeros(3)}, epochs=1)
    made.fit(({"image": data.image, "label": data.label} for _ in range(2)), epochs=1)
    assert made.epoch == 3
    assert len(made.history) == 3


def test_predict_takes_nodes_and_names_in_parts_or_at_once():
    scores, loss, _ = classifier()
    made = graphc.Trainer(loss, optimizer=graphc.SGD(0.1))
    data = blobs()
    made.fit(data)
    whole = made.predict(scores, x=data["x"])
    assert whole.shape == (70, 3)
    numpy.testing.assert_allclose(made.predict("scores", batch_size=16, x=data["x"]), whole, rtol=1e-5)
    made.fit(data)  # predictions follow the parameters
    assert not numpy.allclose(made.predict(scores, x=data["x"]), whole)
    reference = graphc.backward(loss).at(parameters=made.parameters, **data)
    numpy.testing.assert_allclose(made.predict(scores, x=data["x"]), reference.value(scores), rtol=1e-4)


def test_examples_may_run_along_another_axis():
    x = graphc.input("x", ("T", "N", 2))
    target = graphc.input("target", ("N",))
    w = graphc.parameter("w", (2,), initial=[0.5, -1.0])
    per_example = graphc.sum(graphc.sum(x * w, axes=2), axes=0)
    loss = graphc.mean((per_example - target) ** 2)
    made = graphc.Trainer(loss, optimizer=graphc.SGD(0.0))
    generator = numpy.random.default_rng(0)
    data = {"x": generator.normal(size=(3, 10, 2)), "target": generator.normal(size=10)}
    parts = made.evaluate(data, batch_size=4)["loss"]
    assert parts == pytest.approx(made.evaluate(data, batch_size=10)["loss"], rel=1e-5)
    assert made.predict(per_example, batch_size=4, x=data["x"]).shape == (10,)


def test_states_are_updated_by_training_only():
    x = graphc.input("x", ("N",))
    w = graphc.parameter("w", (), initial=1.0)
    seen = graphc.state("seen")
    graphc.update(seen, seen + 1.0)
    loss = graphc.mean((x * w - 1.0) ** 2) + 0.0 * seen
    made = graphc.Trainer(loss, optimizer=graphc.SGD(0.01))
    data = {"x": numpy.ones(6)}
    made.fit(data, batch_size=2, epochs=2)
    assert float(made.states["seen"]) == 6
    made.evaluate(data, batch_size=2)
    made.predict(loss, x=data["x"])
    assert float(made.states["seen"]) == 6


def test_history_prints_a_table_and_draws_curves(tmp_path):
    made = trainer()
    made.fit(blobs(), epochs=3, validation=blobs(20))
    lines = str(made.history).splitlines()
    assert lines[0].split(" | ")[0].strip() == "epoch"
    assert "validation accuracy" in lines[0]
    assert len(lines) == 5
    assert len({len(line) for line in lines}) == 1
    path = made.history.plot(tmp_path / "loss.svg")
    text = path.read_text(encoding="utf-8")
    assert text.count("<polyline") == 4
    assert "accuracy" in text
    assert "validation" in text
    ElementTree.fromstring(text)
    assert [p.name for p in tmp_path.iterdir()] == ["loss.svg"]


def test_a_metric_name_with_markup_is_text_on_the_plot(tmp_path):
    history = graphc.training.History([{"epoch": k, 'a<b&"c"': 1.0 / k} for k in (1, 2)])
    text = history.plot(tmp_path / "h.svg").read_text(encoding="utf-8")
    assert "a&lt;b&amp;" in text


@pytest.mark.parametrize("value", [1.0, 0.0, -3.0, 1e-7, float("nan")])
def test_flat_single_and_undefined_curves_are_drawn(tmp_path, value):
    rows = [{"epoch": k, "loss": value} for k in (1, 2)]
    for part in (rows, rows[:1]):
        text = graphc.training.History(part).plot(tmp_path / "h.svg").read_text(encoding="utf-8")
        assert "nan" not in text


def test_the_progress_bar_is_for_terminals(capfd, monkeypatch):
    made = trainer()
    made.fit(blobs())
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    made.fit(blobs())
    made.fit(blobs(), progress=False)
    assert "epoch 2" in terminal.getvalue()
    assert "epoch 3" not in terminal.getvalue()


# ---- errors that teach ---------------------------------------------------------------------------


def _without(name):
    return {k: v for k, v in blobs().items() if k != name}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: t.fit(_without("label")), ["training data", "'label'", "x", "declared at"]),
        (lambda t: t.fit(_without("x") | {"X": blobs()["x"]}), ["'x'", "label, X"]),
        (lambda t: t.fit({**blobs(), "label": blobs()["label"][:5]}), ["label 5", "x 70"]),
        (lambda t: t.fit({k: v[:0] for k, v in blobs().items()}), ["no examples"]),
        (lambda t: t.fit(blobs(), validation=_without("x")), ["validation data", "'x'"]),
        (lambda t: t.fit([]), ["gave no batches"]),
        (lambda t: t.fit([blobs()["x"]]), ["batch 0", "ndarray", "dict"]),
        (lambda t: t.fit((b for b in [blobs()]), epochs=2), ["generator", "epochs=2", "list"]),
        (lambda t: t.fit(blobs()["x"]), ["ndarray", "dict of arrays"]),
        (lambda t: t.fit(3), ["int", "dict of arrays"]),
        (lambda t: t.fit(blobs(), batch_size=0), ["batch_size", "at least 1", "0"]),
        (lambda t: t.fit(blobs(), batch_size=1.5), ["batch_size", "1.5"]),
        (lambda t: t.fit(blobs(), epochs=0), ["epochs", "at least 1"]),
        (lambda t: t.fit({**blobs(), "x": blobs()["x"][:, :3]}), ["'x'", "(N, 4)", "(64, 3)"]),
        (lambda t: t.fit({**blobs(), "label": blobs()["label"] * 0.5}), ["'label'", "int32", "float"]),
        (lambda t: t.evaluate(_without("x")), ["evaluation data", "'x'"]),
        (lambda t: t.predict("score", x=blobs()["x"]), ["'score'", "scores"]),
        (lambda t: t.predict("loss", batch_size=8, **blobs()), ["loss", "no row for each example"]),
        (lambda t: t.predict("scores"), ["'x'", "missing"]),
        (lambda t: t.history["losses"], ["'losses'", "no epochs yet"]),
        (lambda t: t.history.plot("a.svg"), ["no epochs"]),
    ],
)
def test_bad_data_are_refused_with_what_was_found(call, words):
    with pytest.raises(graphc.DataError) as error:
        call(trainer())
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: graphc.Trainer(classifier()[0], optimizer=graphc.SGD(0.1)), graphc.DerivativeError,
         ["the loss must be a scalar", "(N, 3)", "graphc.mean"]),
        (lambda: graphc.Trainer("loss", optimizer=graphc.SGD(0.1)), graphc.DerivativeError, ["a node", "str"]),
        (lambda: graphc.Trainer(classifier()[1], optimizer="adam"), graphc.GraphcError, ["'adam'", "graphc.SGD"]),
        (lambda: trainer(seed=-1), graphc.DataError, ["seed", "-1"]),
        (lambda: trainer(target="gpu"), graphc.PlanError, ["'gpu'", "cpu"]),
        (lambda: graphc.Trainer(classifier()[1], optimizer=graphc.SGD(0.1), metrics={"m": classifier()[0]}),
         graphc.DerivativeError, ["metric 'm'", "scalar"]),
        (lambda: graphc.Trainer(classifier()[1], optimizer=graphc.SGD(0.1), metrics={"loss": classifier()[2]}),
         graphc.DataError, ["'loss'", "column"]),
        (lambda: graphc.accuracy(classifier()[0], graphc.input("label", ("M",), dtype="int32")),
         graphc.ShapeError, ["(N, 3)", "(M,)"]),
    ],
)  # fmt: skip
def test_a_trainer_that_cannot_be_is_refused_when_it_is_made(make, kind, words):
    with pytest.raises(kind) as error:
        make()
    for word in words:
        assert word in str(error.value)


def test_a_loss_that_is_not_a_number_says_where_and_what_to_try():
    made = trainer(graphc.SGD(0.01))
    data = blobs()
    data["x"][40, 2] = float("nan")
    with pytest.raises(graphc.DataError) as error:
        made.fit(data, batch_size=16, shuffle=False)
    for word in ("nan", "epoch 1, step 3", "check_numerics=True", "0.01", "declared at"):
        assert word in str(error.value)


def test_data_without_a_named_size_cannot_be_cut():
    x = graphc.input("x", (4,))
    w = graphc.parameter("w", (4,), initial=1.0)
    made = graphc.Trainer(graphc.mean((w - x) ** 2), optimizer=graphc.SGD(0.5))
    with pytest.raises(graphc.DataError) as error:
        made.fit({"x": numpy.ones(4)})
    assert "(4,)" in str(error.value)
    assert "'N'" in str(error.value)
    made.fit([{"x": numpy.ones(4)}, {"x": numpy.zeros(4)}])
    assert made.steps == 2


@pytest.mark.parametrize("name", ["loss.png", "loss", "missing/loss.svg"])
def test_a_plot_that_cannot_be_written_leaves_nothing(tmp_path, name):
    history = graphc.training.History([{"epoch": 1, "loss": 0.5}])
    with pytest.raises(graphc.DataError):
        history.plot(tmp_path / name)
    assert not list(tmp_path.iterdir())
