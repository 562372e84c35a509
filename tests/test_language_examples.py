"""The language models among the examples: what their figures must be, here and on real text."""

from __future__ import annotations

import os
import runpy
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy
import pytest

import graphc

FOLDER = Path(graphc.__file__).parents[1] / "examples"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the examples are not part of an installed graphc")
real_text = pytest.mark.skipif("GRAPHC_DATA" not in os.environ, reason="GRAPHC_DATA names no folder with texts")


def run(name: str) -> dict[str, Any]:
    """Run an example; its names."""
    return runpy.run_path(str(FOLDER / name))


@pytest.fixture
def no_data(monkeypatch, tmp_path):
    monkeypatch.delenv("GRAPHC_DATA", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_hello_prints_every_step_before_and_after(no_data, capsys):
    found = run("10_hello.py")
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("step ") for line in lines) == 8
    assert sum("scores of h e l o" in line and "probabilities" in line for line in lines) == 8
    assert "it says 'hello'" not in next(line for line in lines if line.startswith("before"))
    assert "it says 'hello'" in next(line for line in lines if line.startswith("after"))
    assert found["p"].shape == (4, 1, 4)
    assert found["learn"].parameters["hidden.weight_h"].shape == (3, 3)


def test_hello_has_the_hidden_states_of_the_formula(no_data):
    found = run("10_hello.py")
    parameters, h = found["learn"].parameters, numpy.zeros(3)
    for t, letter in enumerate("hell"):
        column = parameters["hidden.weight_x"][:, "helo".index(letter)]
        h = numpy.tanh(column + parameters["hidden.weight_h"] @ h + parameters["hidden.bias"])
        scores = parameters["scores.weight"] @ h + parameters["scores.bias"]
        assert found["run"].value("hidden")[t, 0] == pytest.approx(h, rel=1e-9)
        assert found["run"].value("scores")[t, 0] == pytest.approx(scores, rel=1e-9)
        assert found["run"].value("p")[t, 0] == pytest.approx(numpy.exp(scores) / numpy.exp(scores).sum(), rel=1e-9)


def test_hello_is_drawn_with_a_cell_for_each_step(no_data):
    text = run("10_hello.py")["drawing"].read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert text.count("rnn_cell</text>") == 4


def test_names_end_and_their_loss_is_that_of_the_letters_that_there_are(no_data):
    found = run("12_names.py")
    trainer, data = found["trainer"], found["data"]
    scores = trainer.predict(found["scores"], letters=data["letters"], steps=data["steps"])
    scores = scores.astype("float64")
    logs = scores - numpy.log(numpy.exp(scores).sum(axis=2, keepdims=True))
    each = [
        -logs[t, n, data["following"][t, n]] for n, steps in enumerate(data["steps"]) for t in range(steps)
    ]  # letters and the end of each name, and nothing behind it
    assert trainer.evaluate(data)["loss"] == pytest.approx(numpy.mean(each), rel=1e-5)


def test_three_words_know_what_they_did_not_read(no_data):
    found = run("13_three_words.py")
    assert not set(found["read"]) & set(found["unread"])
    assert len(set(found["sentences"])) == 432
    # the least: two articles, three nouns, two forms, three verbs, two articles, three places, two kinds; 8 words
    assert found["least"] == pytest.approx(numpy.log(2 * 3 * 2 * 3 * 2 * 3 * 2) / 8)
    assert found["train"] < found["test"] < found["counted"]


@pytest.mark.slow
@real_text
def test_the_character_model_reads_shakespeare(capsys):
    found = run("11_characters.py")
    nats = found["trainer"].history["loss"]
    with capsys.disabled():
        print(f"\ntiny Shakespeare, training loss of each reading: {numpy.round(nats, 3).tolist()} nats a character")
    assert nats[-1] <= 1.75


@pytest.mark.slow
@real_text
def test_the_names_model_reads_thousands_of_names(capsys):
    found = run("12_names.py")
    nats = found["trainer"].history["validation loss"]
    with capsys.disabled():
        print(f"\nnames, validation loss of each epoch: {numpy.round(nats, 3).tolist()} nats a letter")
    assert nats[-1] <= 2.12
