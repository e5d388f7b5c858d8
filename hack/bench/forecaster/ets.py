"""Compares Prescale with statsforecast's AutoETS: loss and processor time a forecast, both measured in this run.

usage: ets.py PRESCALE DATA, the first the program, the second the folder that holds traces/ and m4_hourly/

Traces: AutoETS is fitted anew at each origin to the last WINDOW samples, without a season; where a day is SEASON steps at most, with
that season and to four days at least (a fit to a day of 288 steps takes seconds, to one of 1,440 over a minute).
Prescale goes through the whole trace and forecasts after every sample; its time is that of the whole command over the samples,
so it holds the update, the start, the reading and the printing. M4: every EVERY-th series, season 24, a fit each on both sides.
"""

import gzip
import math
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
from statsforecast.models import AutoETS

WINDOW = 300
SEASON = 144
EVERY = 7
LEVELS = {0.5: "mean", 0.9: "hi-80", 0.95: "hi-90", 0.99: "hi-98"}
M4_LEVELS = {0.025: "lo-95", 0.5: "mean", 0.975: "hi-95"}
HORIZON = {10: 30, 15: 20, 60: 10, 600: 6}  # steps by step in seconds, else 12: as in rolling.go
FOURTEEN = (
    "alibaba_lora_requests azure_llm_conv_2023 bank_calls_5min crane_metric_02 crane_metric_06 crane_metric_11 crane_metric_14 "
    "nab_nyc_taxi nab_tweets_AAPL nab_tweets_FB nasa_http_aug95_60s nasa_http_jul95_60s servegen_m_large servegen_m_small"
).split()


def dense_origins(n, horizon):
    """The origins of rolling.go."""
    first = int((0.5 if n < 1000 else 0.7) * n) - 1
    return range(first, n - horizon, max(1, (n - horizon - first) // 240))[:240]


def auto_ets(y, horizon, season, levels):
    """Returns quantiles (horizon x levels) and processor seconds. Arrivals are never negative, so neither is a quantile."""
    widths = sorted({int(name[3:]) for name in levels.values() if name != "mean"})
    began = time.process_time()
    f = AutoETS(season_length=season).forecast(y=y, h=horizon, level=widths)
    took = time.process_time() - began
    return np.maximum(0, np.column_stack([f[name] for name in levels.values()])), took


def prescale(program, *args):
    """Runs the program; returns its lines, split at commas, and its processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([program, "forecast", *args], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    took = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (line.split(",") for line in done.stdout.splitlines()), took


class Loss:
    """The mean weighted quantile loss, percent."""

    def __init__(self, levels):
        self.levels = np.array(list(levels))
        self.pinball = self.truth = 0.0

    def add(self, quantiles, truth):
        short = truth[:, None] - quantiles
        self.pinball += np.maximum(self.levels * short, (self.levels - 1) * short).sum() / len(self.levels)
        self.truth += truth.sum()

    def percent(self):
        return 100 * 2 * self.pinball / self.truth


def row(name, forecasts, loss, seconds):
    ratios = loss[0].percent() / loss[1].percent(), seconds[0] / seconds[1]
    print(
        f"{name:22} {forecasts:9} | {loss[0].percent():9.3f} {loss[1].percent():9.3f} {ratios[0]:6.3f} "
        f"| {1000 * seconds[0]:9.3f} {1000 * seconds[1]:9.2f} {ratios[1]:8.5f}",
        flush=True,
    )
    return ratios


def rolling(program, data, name):
    path = os.path.join(data, "traces", name + ".csv.gz")
    with gzip.open(path, "rt") as file:
        at, y = np.loadtxt(file, delimiter=",", skiprows=1, usecols=(0, 1), unpack=True)
    step = np.diff(at).min()
    horizon = HORIZON.get(int(step), 12)
    origins = dense_origins(len(y), horizon)[::6]
    day = round(86400 / step)
    season, window = (day, max(WINDOW, 4 * day)) if day <= SEASON else (1, WINDOW)
    lines, ours = prescale(program, path, "--rolling", "--horizon", str(horizon))
    wanted, quantiles = set(map(str, origins)), {}
    for origin, k, *values in lines:
        if origin in wanted and k != "max":
            quantiles.setdefault(int(origin), []).append(values)
    value_at = dict(zip(at, y))
    loss, theirs = (Loss(LEVELS), Loss(LEVELS)), 0.0
    for o in origins:
        truth = np.array([value_at.get(at[o] + k * step, math.nan) for k in range(1, horizon + 1)])
        known = ~np.isnan(truth)  # a gap is no truth
        fitted, took = auto_ets(y[max(0, o + 1 - window) : o + 1], horizon, season, LEVELS)
        theirs += took / len(origins)
        for l, q in zip(loss, (np.array(quantiles[o], float), fitted)):
            l.add(q[known], truth[known])
    return row(name, len(origins), loss, (ours / len(y), theirs))


def m4(program, data):
    def read(part):
        with gzip.open(os.path.join(data, "m4_hourly", f"hourly_{part}.csv.gz"), "rt") as file:
            rows = [line.strip().split(",") for line in file][1::EVERY]
        return {id: np.array([v for v in values if v], float) for id, *values in rows}

    train, test = read("train"), read("test")
    with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
        file.writelines(",".join([id, *map(repr, y.tolist())]) + "\n" for id, y in train.items())
        file.flush()
        lines, ours = prescale(program, "--m4", file.name, "--horizon", "48", "--season", "24", "--interval", "0.95")
    loss, theirs = (Loss(M4_LEVELS), Loss(M4_LEVELS)), 0.0
    for id, *values in lines:
        points, lower, upper = np.array(values, float).reshape(3, 48)
        fitted, took = auto_ets(train[id], 48, 24, M4_LEVELS)
        theirs += took / len(train)
        for l, q in zip(loss, (np.column_stack([lower, points, upper]), fitted)):
            l.add(q, test[id])
    row("M4 hourly, 48 steps", len(train), loss, (ours / len(train), theirs))


def main():
    program, data = sys.argv[1:]
    auto_ets(10.0 + np.arange(200) % 24, 48, 24, M4_LEVELS)  # warm up: what is loaded or compiled at first use is not AutoETS's time
    print(f"{'':22} {'':9} | {'weighted quantile loss, %':>26} | {'processor ms a forecast':>28}")
    print(f"{'':22} {'forecasts':>9} | {'Prescale':>9} {'AutoETS':>9} {'ratio':>6} | {'Prescale':>9} {'AutoETS':>9} {'ratio':>8}")
    ratios = [rolling(program, data, name) for name in FOURTEEN]
    for name, (loss, seconds) in (("geometric mean", np.exp(np.log(ratios).mean(axis=0))), ("median", np.median(ratios, axis=0))):
        print(f"{name:22} {'':9} | {'':19} {loss:6.3f} | {'':19} {seconds:8.5f}")
    m4(program, data)
    print(f"Quantiles {', '.join(map(str, LEVELS))} on traces; {', '.join(map(str, M4_LEVELS))} on M4, with season 24.")
    print(f"AutoETS on traces: last {WINDOW} samples, no season; at least four days, and a day's season, where a day is at most {SEASON} steps.")


main()
