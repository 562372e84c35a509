"""How warm are the next seven days?

A window of four weeks of temperatures, with the time of the year as two numbers, goes through an LSTM; its last state
answers with a week at once. The judges are two forecasts that need no network: the same day a year ago (the naive
seasonal forecast), and today's value for the whole week (persistence). With GRAPHC_DATA the series is that of the
lowest temperatures of each day in Melbourne, 1981 to 1990; else ten years are made up: a season, and weather that
forgets slowly.
"""

# %% Ten years of days
import os
import tempfile
from pathlib import Path

import numpy

import graphc

year, window, ahead = 365, 28, 7


def invented():
    """A season with a harmonic, and weather of which a day keeps seven tenths."""
    generator = numpy.random.default_rng(0)
    phase = 2 * numpy.pi * numpy.arange(10 * year) / year
    weather = numpy.zeros(10 * year)
    for day in range(1, len(weather)):
        weather[day] = 0.7 * weather[day - 1] + generator.normal(0, 2)
    return 11 + 5 * numpy.cos(phase) + numpy.cos(2 * phase + 1) + weather


if "GRAPHC_DATA" in os.environ:
    path = Path(os.environ["GRAPHC_DATA"]) / "timeseries" / "daily-min-temperatures.csv"
    series = numpy.loadtxt(path, delimiter=",", skiprows=1, usecols=1)
    print(f"{len(series)} days in Melbourne")
else:
    series = invented()
    print(f"{len(series)} days, made up; GRAPHC_DATA names no folder")

# %% Windows: eight years to train, one to say when to stop, one for the test
mean, deviation = series[: 8 * year].mean(), series[: 8 * year].std()
phase = 2 * numpy.pi * numpy.arange(len(series)) / year
features = numpy.stack([(series - mean) / deviation, numpy.sin(phase), numpy.cos(phase)], axis=1)


def windows(first, last):
    """Windows whose week begins on the days from first to last: (T, N, 3), and the weeks (N, 7)."""
    days = numpy.arange(first, last - ahead + 1)
    seen = numpy.stack([features[days - window + k] for k in range(window)])
    return {"seen": seen, "coming": numpy.stack([features[days + k, 0] for k in range(ahead)], axis=1)}, days


train, _ = windows(window, 8 * year)
validation, _ = windows(8 * year, 9 * year)
test, days = windows(9 * year, 10 * year)

# %% The network, and the epoch that does best on the year before the last
seen, coming = graphc.input("seen", (window, "N", 3)), graphc.input("coming", ("N", ahead))
h = graphc.layers.lstm(seen, 16, name="memory", returns="last")
week = graphc.layers.dense(h, ahead, name="week")
loss = graphc.mean((week - coming) ** 2)
# one thread: steps this small gain little from more, and other programs may want them
trainer = graphc.Trainer(loss, optimizer=graphc.Adam(0.005), seed=0, threads=1)
best, kept = numpy.inf, {}
for _ in range(15):
    trainer.fit(train, batch_size=64, validation=validation)
    judged = trainer.history.rows[-1]["validation loss"]
    if judged < best:
        best, kept = judged, {name: array.copy() for name, array in trainer.parameters.items()}
for name, array in kept.items():
    trainer.parameters[name][...] = array
print(trainer.history)

# %% Judge all three on the last year
truth = numpy.stack([series[days + k] for k in range(ahead)], axis=1)
forecasts = {
    "LSTM": trainer.predict(week, seen=test["seen"]) * deviation + mean,
    "a year ago": numpy.stack([series[days + k - year] for k in range(ahead)], axis=1),
    "as today": numpy.repeat(series[days - 1][:, None], ahead, axis=1),
}
errors = {name: numpy.sqrt(((forecast - truth) ** 2).mean(axis=0)) for name, forecast in forecasts.items()}
print("root of the mean squared error in degrees, tomorrow and in seven days")
for name, error in errors.items():
    print(f"{name:>12}: {error[0]:.2f}  {error[-1]:.2f}")
assert (errors["LSTM"] < errors["a year ago"]).all()
assert (errors["LSTM"] < errors["as today"]).all()

# %% Tomorrow and the week, drawn
try:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot
except ImportError:
    print("without matplotlib there is no drawing: pip install 'graphc[draw]'")
else:
    figure, axes = pyplot.subplots(figsize=(10, 4))
    axes.plot(days, truth[:, 0], color="0.6", label="measured")
    axes.plot(days, forecasts["LSTM"][:, 0], color="C0", label="LSTM, a day ahead")
    for k in range(0, len(days), 4 * ahead):
        axes.plot(
            days[k] + numpy.arange(ahead), forecasts["LSTM"][k], color="C3", label="LSTM, a week" if not k else ""
        )
    axes.set(xlabel="day", ylabel="degrees Celsius")
    axes.legend()
    path = Path(tempfile.mkdtemp()) / "forecast.svg"
    figure.savefig(path)
    print(f"wrote {path}")
