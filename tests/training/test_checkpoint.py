"""Checkpoints: what is saved comes back, nothing is lost when saving fails, and bad files are refused."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import numpy
import pytest
from safetensors.numpy import load_file, save_file

import graphc
from graphc.training import checkpoint as checkpoint_module
from tests.training.networks import blobs, classifier, trainer


@pytest.mark.parametrize("optimizer", [lambda: graphc.SGD(0.1, momentum=0.9, nesterov=True), lambda: graphc.Adam(0.01)])
def test_two_and_two_epochs_are_four_bit_for_bit(tmp_path, optimizer):
    whole, first = trainer(optimizer()), trainer(optimizer())
    whole.fit(blobs(), batch_size=16, epochs=4, validation=blobs(20))
    first.fit(blobs(), batch_size=16, epochs=2, validation=blobs(20))
    path = first.save(tmp_path / "run.graphc")
    second = graphc.Trainer.load(path)
    assert (second.epoch, second.steps) == (2, 10)
    assert repr(second.optimizer) == repr(first.optimizer)
    second.fit(blobs(), batch_size=16, epochs=2, validation=blobs(20))
    for mine, theirs in (
        (second.parameters, whole.parameters),
        (second.optimizer_state, whole.optimizer_state),
    ):
        assert set(mine) == set(theirs)
        for name, array in theirs.items():
            numpy.testing.assert_array_equal(mine[name], array)
    for name in ("loss", "accuracy", "validation loss"):
        assert second.history[name] == whole.history[name]


def test_a_changed_learning_rate_and_the_dtype_are_kept(tmp_path):
    made = trainer(dtype="float64", seed=7)
    made.optimizer.learning_rate = 0.0123
    loaded = graphc.Trainer.load(made.save(tmp_path / "a"))
    assert loaded.optimizer.learning_rate == 0.0123
    assert loaded.dtype == "float64"
    assert loaded.seed == 7
    assert loaded.parameters["scores.weight"].dtype == numpy.float64


def test_a_loaded_trainer_predicts_by_name_and_by_a_node_declared_anew(tmp_path):
    scores, loss, accuracy = classifier()
    made = graphc.Trainer(loss, optimizer=graphc.SGD(0.1), metrics={"accuracy": accuracy})
    made.fit(blobs())
    loaded = graphc.Trainer.load(made.save(tmp_path / "a.graphc"))
    x = blobs()["x"]
    expected = made.predict(scores, x=x)
    numpy.testing.assert_array_equal(loaded.predict("scores", x=x), expected)
    numpy.testing.assert_array_equal(loaded.predict(classifier()[0], x=x), expected)
    assert loaded.evaluate(blobs()) == made.evaluate(blobs())
    # the parameters' initial values are the trained ones, so the reference agrees without more words
    reference = graphc.backward(loaded.loss).at(**blobs())
    numpy.testing.assert_allclose(reference.value("scores"), expected, rtol=1e-4)


def _everything() -> tuple[graphc.Node, dict]:
    """A graph with every kind of node: registered, private and own gates, attributes, constants, states."""
    image = graphc.input("image", ("N", 2, 9, 8))
    label = graphc.input("label", ("N",), dtype="int64")
    blur = graphc.gate(
        "y[n,c,i,j] = sum(x[n,c,i,j+r-padding] * w[r], r)",
        name="blur",
        padding=1,
        outside={"x": 0},
        extents={"j": "size(x,3) + 2*padding - size(w,0) + 1"},
    )
    squareplus = graphc.gate("y = (x + sqrt(x**2 + b)) / 2", name="squareplus", b=4.5)
    frozen = graphc.parameter("frozen", (3,), initial=[0.25, 0.5, 0.25], trainable=False)
    mask = graphc.constant(numpy.arange(8.0))
    seen = graphc.state("seen", (), initial=2.0)
    graphc.update(seen, seen * 0.5 + 1.0)
    h = squareplus(blur(image, frozen)) * (0.1 + mask) / 3.0
    h = graphc.layers.conv2d(h, 4, (3, 2), stride=(2, 1), padding="same", groups=2, name="conv")
    h = graphc.max_pool2d(graphc.relu(h), (3, 2), stride=2, padding=1)
    h = graphc.reshape(h, ("N", -1))
    scores = graphc.layers.dense(h, 5, name="scores")
    loss = graphc.softmax_cross_entropy(scores, label) + 1e-3 * graphc.sum(graphc.abs(scores)) + 0.0 * seen
    generator = numpy.random.default_rng(0)
    data = {"image": generator.normal(size=(6, 2, 9, 8)), "label": generator.integers(0, 5, 6)}
    return loss.named("loss"), data


def test_every_kind_of_node_comes_back(tmp_path):
    loss, data = _everything()
    one = graphc.Trainer(loss, optimizer=graphc.SGD(0.01, momentum=0.5), dtype="float64")
    one.fit(data, batch_size=4)
    two = graphc.Trainer.load(one.save(tmp_path / "a.graphc"))
    assert [n.shape for n in two.inputs] == [n.shape for n in one.inputs]
    assert [n.dtype for n in two.inputs] == ["float32", "int64"]
    assert float(two.states["seen"]) == float(one.states["seen"]) == 2.0
    one.fit(data, batch_size=4, epochs=2)
    two.fit(data, batch_size=4, epochs=2)
    assert one.history["loss"] == two.history["loss"]
    numpy.testing.assert_array_equal(two.parameters["frozen"], [0.25, 0.5, 0.25])
    # and what was loaded can be saved again, to the same graph
    graph = json.loads(_metadata(two.save(tmp_path / "b.graphc")))["graph"]
    assert graph == json.loads(_metadata(one.save(tmp_path / "c.graphc")))["graph"]


def _rearranged() -> tuple[graphc.Node, dict]:
    """A graph of gates with any number of operands, several results, and attributes in nested tuples."""
    image = graphc.input("image", ("N", 4, 6))
    w = graphc.parameter("w", (6, 3), initial=numpy.arange(18.0).reshape(6, 3) / 18)
    table = graphc.parameter("table", (5, 3), initial=0.5)
    index = graphc.input("index", ("N",), dtype="int32")
    top, middle, bottom = graphc.split(graphc.pad(image, ((0, 0), (1, 0), (0, 0))), (1, 3, 1), axis=1)
    joined = graphc.concat((bottom, middle[:, ::-1, :], top), axis=1)
    mixed = graphc.einsum("nhw,wk,nk->nhk", joined, w, table[index])
    stacked = graphc.stack((mixed[..., 1:, None, :], mixed[:, :-1, None]), axis=-1)
    loss = graphc.mean(stacked) + graphc.mean(stacked[0]) * graphc.is_training()
    generator = numpy.random.default_rng(0)
    return loss.named("loss"), {"image": generator.normal(size=(4, 4, 6)), "index": numpy.array([4, 0, 2, 0])}


@pytest.mark.parametrize("registered", [True, False])
def test_gates_with_any_number_of_operands_and_nested_attributes_come_back(tmp_path, registered):
    loss, data = _rearranged()
    one = graphc.Trainer(loss, optimizer=graphc.SGD(0.1), dtype="float64")
    path = one.save(tmp_path / "a.graphc")
    if not registered:  # the gates are not installed where the file is read: its formulas count

        def forget(content, tensors):
            for application in content["graph"]["applications"]:
                application["registered"] = False

        path = _forged(tmp_path, forget, path)
    two = graphc.Trainer.load(path)
    assert two.evaluate(data) == one.evaluate(data)
    one.fit(data, batch_size=4, epochs=2)
    two.fit(data, batch_size=4, epochs=2)
    assert one.history["loss"] == two.history["loss"]
    assert len(set(one.history["loss"])) == 2
    if registered:
        graph = json.loads(_metadata(two.save(tmp_path / "b.graphc")))["graph"]
        assert graph == json.loads(_metadata(one.save(tmp_path / "c.graphc")))["graph"]
        attributes = {a["gate"]: a["attributes"] for a in graph["applications"]}
        assert attributes["pad"]["widths"] == [[0, 0], [1, 0], [0, 0]]
        names = {a["gate"]: a["names"] for a in graph["applications"]}
        assert names["concat"] == ["x0", "x1", "x2"]


def _metadata(path) -> str:
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        return file.metadata()["graphc"]


def test_formulas_are_stored_as_text_and_never_pickled(tmp_path):
    loss, _ = _everything()
    path = graphc.Trainer(loss, optimizer=graphc.SGD(0.1)).save(tmp_path / "a.graphc")
    text = _metadata(path)
    assert "y = (x + sqrt(x**2 + b)) / 2" in text
    assert "sum(x[n,c,i,j+r-padding] * w[r], r)" in text
    assert str(tmp_path) not in text
    assert Path(__file__).name not in text  # no paths of the user's machine


# ---- saving fails --------------------------------------------------------------------------------


def _saved(tmp_path):
    made = trainer()
    path = made.save(tmp_path / "run.graphc")
    before = path.read_bytes()
    made.fit(blobs())
    return made, path, before


def test_a_full_disk_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    made, path, before = _saved(tmp_path)

    def full(handle):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(checkpoint_module.os, "fsync", full)
    with pytest.raises(graphc.CheckpointError) as error:
        made.save(path)
    assert "No space left" in str(error.value)
    assert "untouched" in str(error.value)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.graphc"]


def test_a_failing_rename_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    made, path, before = _saved(tmp_path)

    def refuse(self, target):
        raise PermissionError(errno.EPERM, "refused")

    monkeypatch.setattr(checkpoint_module.Path, "replace", refuse)
    with pytest.raises(graphc.CheckpointError, match="refused"):
        made.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.graphc"]


@pytest.mark.parametrize(
    ("place", "word"), [("missing/run.graphc", "No such file"), (".", "folder"), ("file/run", "ot a directory")]
)
def test_a_path_that_cannot_be_written_is_named(tmp_path, place, word):
    (tmp_path / "file").write_text("x")
    with pytest.raises(graphc.CheckpointError) as error:
        trainer().save(tmp_path / place)
    assert word in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


def test_saving_replaces_an_older_checkpoint_whole(tmp_path):
    made, path, before = _saved(tmp_path)
    made.save(str(path))
    assert path.read_bytes() != before
    assert graphc.Trainer.load(path).epoch == 1
    assert [p.name for p in tmp_path.iterdir()] == ["run.graphc"]


# ---- bad files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "empty"),
        (b"hello world, this is no checkpoint", "not with a safetensors header"),
        (b"PK\x03\x04" + bytes(60), "zip archive"),
        (b"\x80\x04\x95" + bytes(60), "pickle"),
        (b"\x93NUMPY\x01\x00" + bytes(60), "NumPy"),
        (b"\xff" * 64, "safetensors header"),
    ],
)
def test_foreign_files_are_refused_and_described(tmp_path, content, word):
    path = tmp_path / "a.graphc"
    path.write_bytes(content)
    with pytest.raises(graphc.CheckpointError) as error:
        graphc.Trainer.load(path)
    assert word in str(error.value)
    assert "a.graphc" in str(error.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(graphc.CheckpointError, match="no file"):
        graphc.Trainer.load(tmp_path / "nothing.graphc")
    with pytest.raises(graphc.CheckpointError, match="folder"):
        graphc.Trainer.load(tmp_path)
    with pytest.raises(graphc.CheckpointError, match="int"):
        graphc.Trainer.load(3)


def test_another_programs_safetensors_file_is_recognised(tmp_path):
    save_file({"w": numpy.zeros(3)}, tmp_path / "a", {"format": "pt"})
    with pytest.raises(graphc.CheckpointError, match="another program"):
        graphc.Trainer.load(tmp_path / "a")


def test_every_truncation_is_noticed(tmp_path):
    data = trainer().save(tmp_path / "a").read_bytes()
    for size in sorted({1, 7, 8, 9, 100, len(data) // 2, len(data) - 1, *range(0, len(data), 997)}):
        (tmp_path / "b").write_bytes(data[:size])
        with pytest.raises(graphc.CheckpointError):
            graphc.Trainer.load(tmp_path / "b")


def test_every_flipped_byte_is_noticed(tmp_path):
    data = bytearray(trainer().save(tmp_path / "a").read_bytes())
    generator = numpy.random.default_rng(0)
    for position in [*range(12), *generator.integers(0, len(data), 60), len(data) - 1]:
        damaged = bytearray(data)
        damaged[position] ^= 0x24
        (tmp_path / "b").write_bytes(damaged)
        with pytest.raises(graphc.CheckpointError):
            graphc.Trainer.load(tmp_path / "b")


def _forged(tmp_path, change, path=None):
    """Write a checkpoint whose digest is right but whose content somebody changed."""
    path = path or trainer().save(tmp_path / "a")
    content, tensors = json.loads(_metadata(path)), load_file(path)
    change(content, tensors)
    content.pop("format", None) if content.get("format") == checkpoint_module.FORMAT else None
    version = content.pop("format", checkpoint_module.FORMAT)
    text = json.dumps({"format": version, **content})
    stored = {"graphc": text, "sha256": checkpoint_module._digest(text, tensors)}
    save_file(tensors, tmp_path / "b", stored)
    return tmp_path / "b"


def _gate(content, name):
    return next(a for a in content["graph"]["applications"] if a["gate"] == name)


def _evil(content, tensors):
    _gate(content, "tanh")["formula"] = "y = __import__('os').system('touch /tmp/graphc-was-here')"


FORGERIES = {
    "version": (lambda c, t: c.update(format=99), "format 99"),
    "no graph": (lambda c, t: c.pop("graph"), "graph"),
    "no nodes": (lambda c, t: c["graph"].update(nodes=[]), "position"),
    "forward operand": (lambda c, t: _gate(c, "dense").update(operands=[10**6, 0]), "position"),
    "negative operand": (lambda c, t: _gate(c, "dense").update(operands=[-1, 0]), "position"),
    "operand count": (lambda c, t: _gate(c, "dense").update(operands=[0]), "operand"),
    "unknown kind": (lambda c, t: c["graph"]["nodes"][0].update(kind="magic"), "magic"),
    "bad dtype": (lambda c, t: c["graph"]["nodes"][0].update(dtype="object"), "object"),
    "bad shape": (lambda c, t: c["graph"]["nodes"][0].update(shape="N"), "damaged"),
    "lost tensor": (lambda c, t: t.pop("parameter/scores.bias"), "scores.bias"),
    "lost state": (lambda c, t: t.pop("optimizer/scores.bias/velocity"), "scores.bias/velocity"),
    "surplus": (lambda c, t: t.update({"parameter/extra": numpy.zeros(2)}), "extra"),
    "wrong shape": (lambda c, t: t.update({"parameter/scores.bias": numpy.zeros(2)}), "scores.bias"),
    "optimizer": (lambda c, t: c["optimizer"].update({"class": "Magic"}), "Magic"),
    "rate": (lambda c, t: c["optimizer"].update(learning_rate=-1), "learning_rate"),
    "metrics": (lambda c, t: c.update(metrics=[]), "zip"),
    "epoch": (lambda c, t: c.update(epoch=-3), "epoch"),
    "target": (lambda c, t: c["options"].update(target="moon"), "moon"),
    "code": (_evil, "function"),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_forged_content_is_refused_and_never_executed(tmp_path, name):
    change, word = FORGERIES[name]
    path = _forged(tmp_path, change)
    with pytest.raises(graphc.CheckpointError) as error:
        graphc.Trainer.load(path)
    assert word in str(error.value)
    assert not Path("/tmp/graphc-was-here").exists()


def test_a_gate_whose_registered_formula_differs_is_rebuilt_from_the_file(tmp_path):
    def change(content, tensors):
        gate = _gate(content, "tanh")
        gate["formula"] = "y = tanh(x) + x / 10"

    loaded = graphc.Trainer.load(_forged(tmp_path, change))
    reference = graphc.backward(loaded.loss).at(**blobs())
    assert loaded.evaluate(blobs())["loss"] == pytest.approx(float(reference.value("loss")), rel=1e-5)
    assert "x / 10" in _metadata(loaded.save(tmp_path / "c"))
