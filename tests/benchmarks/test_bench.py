"""``graphc bench``: the workloads are what they say, wrong losses are never timed, and the table says what was."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import graphc
from graphc.benchmarks import WORKLOADS, Runner, RunnerError, measure, memory_table, report, workload
from graphc.benchmarks.floor import floor_of
from graphc.benchmarks.measure import TOLERANCE, difference
from graphc.benchmarks.peers import OPTIONAL, PEERS, installed, peers
from graphc.benchmarks.runner import own_runner, unable
from graphc.benchmarks.timing import time_in_turn
from graphc.cli.main import main
from graphc.kernels.cpu.peak import fma_peak
from graphc.kernels.cpu.threads import available

PARAMETERS = {
    "mlp": 784 * 128 + 128 + 128 * 10 + 10,
    "lenet": (25 * 6 + 6) + (150 * 16 + 16) + (400 * 120 + 120) + (120 * 84 + 84) + (84 * 10 + 10),
    "cifar": (27 * 32 + 32) + (288 * 32 + 32) + (288 * 64 + 64) + (576 * 64 + 64) + (4096 * 256 + 256) + 2570,
    # 269,722 with zero padding (He et al. 2016 say 0.27 million); two projections of 1 x 1 with batch norm more
    "resnet20": 269_722 + (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64),
    "circuit": 3,
    "rnn": 65 * 64 + (100 * 64 + 100 * 100 + 100) + (65 * 100 + 65),
    "lstm128": 65 * 64 + 4 * (128 * 64 + 128 * 128 + 128) + (65 * 128 + 65),
    "lstm256": 65 * 64 + 4 * (256 * 64 + 256 * 256 + 256) + (65 * 256 + 65),
    "gru": 65 * 64 + 3 * (128 * 64 + 128 * 128 + 2 * 128) + (65 * 128 + 65),
}

# workloads whose peers take long
SLOW = ("resnet20", "lstm256")

# multiply-adds of one example, forward, layer by layer
LENET = (25 * 6 * 28 * 28, 150 * 16 * 10 * 10, 400 * 120, 120 * 84, 84 * 10)


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_has_the_parameters_of_its_network(name):
    assert graphc.count(workload(name).declare()).parameters == PARAMETERS[name]


def test_the_floor_counts_both_gradients_but_none_by_the_data():
    floor = floor_of(workload("lenet").declare())
    assert floor.flops == 64 * 2 * (3 * sum(LENET) - LENET[0])
    assert floor.bytes == 4 * (64 * (784 + 1) + 4 * PARAMETERS["lenet"])
    assert floor_of(workload("circuit").declare()).flops == 0


@pytest.mark.parametrize(
    ("name", "steps", "batch", "gates", "units"),
    [("rnn", 25, 1, 1, 100), ("lstm128", 50, 32, 4, 128), ("lstm256", 64, 64, 4, 256), ("gru", 50, 32, 3, 128)],
)
def test_the_floor_of_a_sequence_counts_every_step_and_no_lookup(name, steps, batch, gates, units):
    work = workload(name)
    floor = floor_of(work.declare(), work.batch)
    assert floor.flops == 3 * 2 * steps * batch * (gates * units * (64 + units) + 65 * units)
    assert floor.bytes == 4 * (2 * steps * batch + 4 * PARAMETERS[name])
    assert {array.shape for array in work.data().values()} == {(steps, batch)}


def test_a_sequence_is_to_foretell_the_next_character():
    data = workload("lstm128").data()
    assert (data["tokens"][1:] == data["following"][:-1]).all()
    assert 0 <= data["tokens"].min() < data["tokens"].max() < 65


# ---- the check before the timing -----------------------------------------------------------------


class Mirror:
    """A peer made of graphc: another compiled step, from the same weights, perhaps of another network."""

    def __init__(self, name, change=lambda work: work, failure=None):
        self.name, self.change, self.failure = name, change, failure

    def runners(self, task):
        own, _ = own_runner(self.change(task.workload), task.threads)

        def step():
            if self.failure is not None:
                raise RunnerError(self.failure)
            return own.step()

        return [Runner(self.name, step)]


def leaky():
    """The multilayer perceptron with another nonlinearity: the same parameters, another function."""
    image, label = graphc.input("image", ("N", 784)), graphc.input("label", ("N",), dtype="int32")
    hidden = graphc.leaky_relu(graphc.layers.dense(image, 128, name="hidden"))
    return graphc.softmax_cross_entropy(graphc.layers.dense(hidden, 10, name="scores"), label)


def test_equal_losses_are_timed_and_compared():
    result = measure(workload("mlp"), [Mirror("same")], steps=3)
    assert [row.name for row in result.rows] == ["graphc", "same"]
    assert [row.times.steps for row in result.rows] == [3, 3]
    assert result.rows[1].difference <= TOLERANCE
    assert result.best is result.rows[1]
    assert result.ratio == result.rows[1].times.median / result.own.times.median
    for row in result.rows:
        assert 0 < row.times.lower <= row.times.median <= row.times.upper


@pytest.mark.parametrize(
    "change",
    [
        lambda work: dataclasses.replace(work, declare=leaky),
        lambda work: dataclasses.replace(work, momentum=0.89),
        lambda work: dataclasses.replace(work, learning_rate=1.01 * work.learning_rate),
    ],
    ids=["other nonlinearity", "other momentum", "other learning rate"],
)
def test_a_workload_whose_losses_differ_is_not_timed_and_says_so(change):
    result = measure(workload("mlp"), [Mirror("judge", change)], steps=2)
    assert result.rows[1].difference > TOLERANCE
    assert result.own.times is None
    assert result.ratio is None
    assert "judge" in result.refused
    text = report([result], 1e11, 1, [])
    assert "not timed" in text
    assert f"- mlp, graphc, not timed: {result.refused}" in text
    assert "Geometric mean" not in text


@pytest.mark.parametrize("name", ["lenet", "circuit", "rnn", "lstm128", "gru"])
def test_a_small_change_of_the_rate_shows_in_the_losses_of_every_small_workload(name):
    work = workload(name)
    own, _ = own_runner(work, 1)
    other, _ = own_runner(dataclasses.replace(work, learning_rate=1.05 * work.learning_rate), 1)
    assert difference([own.step() for _ in range(10)], [other.step() for _ in range(10)]) > TOLERANCE


def test_a_later_contestant_that_differs_or_fails_is_left_out_alone():
    wrong = Mirror("wrong", lambda work: dataclasses.replace(work, declare=leaky))
    result = measure(workload("mlp"), [Mirror("same"), wrong, Mirror("broken", failure="no compiler")], steps=1)
    assert [row.times is not None for row in result.rows] == [True, True, False, False]
    assert not result.refused
    text = report([result], 1e11, 1, [])
    assert "- mlp, broken, not timed: no compiler" in text
    assert "- mlp, wrong, not timed: its losses differ" in text


def test_a_loss_that_is_not_finite_never_agrees():
    assert difference([1.0, 2.0], [1.0, 2.0]) == 0
    assert difference([1.0, 2.0], [1.0, 2.5]) == pytest.approx(0.2)
    assert difference([1.0, math.nan], [1.0, 2.0]) == math.inf
    assert difference([1.0, math.nan], [1.0, math.nan]) == math.inf


def test_contestants_run_in_turn():
    order = []
    runners = [Runner(name, lambda name=name: order.append(name) or 0.0) for name in "ab"]
    times = time_in_turn(runners, [1.0, 1.0], 3, lambda _: None)
    assert [found.steps for found in times] == [3, 3]
    turns = [name for k, name in enumerate(order) if k == 0 or order[k - 1] != name]
    assert turns == ["a", "b"] * 3


def test_the_measured_peak_is_a_rate_of_multiply_adds():
    assert 1e8 < fma_peak(0.01) < 1e13


# ---- the command ---------------------------------------------------------------------------------


def test_the_command_prints_and_writes_the_table(capsys, tmp_path):
    target = tmp_path / "table.md"
    assert main(["bench", "circuit", "mlp", "--against", "none", "--steps", "2", "--output", str(target)]) == 0
    out = capsys.readouterr().out
    assert target.read_text(encoding="utf-8") == out
    assert "FMA peak" in out
    assert "1 thread for every contestant" in out
    tables = [line for line in out.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in tables]
    assert [row[0] for row in rows if row[0] in WORKLOADS] == ["circuit", "mlp"] * 2
    (mlp,) = (row for row in rows if row[0] == "mlp" and len(row) == 9)
    assert mlp[1] == "0.02618"
    assert mlp[6] == "no peer"
    # the columns floor, graphc and share belong together
    assert float(mlp[3]) / float(mlp[4]) == pytest.approx(float(mlp[5].rstrip("%")) / 100, rel=0.02)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lenett"], ["no workload 'lenett'", "did you mean 'lenet'?"]),
        (["mlp", "--against", "troch"], ["no peer 'troch'", "did you mean 'torch'?"]),
        (["mlp", "--threads", "0"], ["--threads"]),
        (["mlp", "--steps", "0"], ["--steps"]),
        (["mlp", "--output", "nowhere/table.md"], ["no folder 'nowhere'"]),
    ],
)
def test_bad_input_gives_exit_code_2(capsys, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == 2
    err = capsys.readouterr().err
    assert all(word in err for word in words)


def peers_that_write_nothing():
    return [SimpleNamespace(runners=lambda _: [unable("nobody")])]


@pytest.mark.parametrize(("peer", "what"), [("torch", '"graphc[bench]"'), ("tinygrad", "tinygrad")])
def test_a_peer_that_is_not_installed_says_how_to_get_it(capsys, monkeypatch, peer, what):
    monkeypatch.setattr("graphc.benchmarks.peers._found", lambda _: False)
    assert main(["bench", "mlp", "--against", peer]) == 2
    assert f"pip install {what}" in capsys.readouterr().err


def test_optional_peers_take_part_only_where_they_are_named(monkeypatch):
    monkeypatch.setattr("graphc.benchmarks.peers._found", lambda _: True)
    assert installed() == ["torch", "jax"]
    assert [module.__name__.rpartition(".")[2] for module in peers(OPTIONAL)] == list(OPTIONAL)


def test_a_network_that_is_not_written_for_a_peer_is_not_timed():
    own, other = measure(workload("circuit"), peers_that_write_nothing(), steps=2).rows
    assert own.times is not None
    assert other.times is None
    assert other.note == "the network is not written for it"


def test_no_peer_is_imported_before_it_is_asked_for():
    code = "import sys, graphc.benchmarks.peers as p; [p.importlib.import_module(m) for m in p.PEERS.values()]"
    code += "; print(*sys.modules)"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert not set(PEERS) & set(done.stdout.split())


# ---- the peers' models ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in WORKLOADS]
)
@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.filterwarnings("ignore")  # of the peers
def test_the_models_of_a_peer_are_the_same_network(peer, name):
    if importlib.util.find_spec(peer) is None:
        pytest.skip(f"{peer} is not installed")
    if name not in importlib.import_module(PEERS[peer]).MODELS:
        pytest.skip(f"the network is not written for {peer}")
    own, task = own_runner(workload(name), available())
    expected = [own.step() for _ in range(10)]
    runners = [r for r in peers([peer])[0].runners(task) if "compiled" not in r.name]
    assert runners
    for runner in runners:
        assert difference(expected, [runner.step() for _ in range(10)]) <= TOLERANCE


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_is_measured_in_a_process_for_each_contestant():
    from graphc.benchmarks.memory import Rise, rises

    own, missing = rises(workload("circuit"), ["no_such_library"], 1)
    assert own.bytes is not None
    assert 0 < own.bytes < 500e6
    assert missing.bytes is None
    assert "no_such_library" in missing.note
    text = memory_table([own, Rise("circuit", "other", None, "it has none")])
    assert [cell.strip() for cell in text.splitlines()[-1].split("|")[1:4]] == ["circuit", "other", "it has none"]
    assert memory_table([]) == ""
