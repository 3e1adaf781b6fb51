"""Training: one perceptron, and sixteen candidates at once, against a plain loop over a torch DataLoader.

The same work for all: Adam with weight decay, gradients clipped to length 1, the loss of every batch added up, one thread,
100,000 rows of 12 features in batches of 256, a network 64-32-3. Samples per CPU second, in rounds that take turns. The
sixteen are sixteen strategies with seeds, learning rates and weight decays of their own; that each ends with the bits it
has alone is checked here too.
"""

from __future__ import annotations

import sys
import time
from statistics import median

import numpy as np
import torch

from ktrdr.models.model import Split
from ktrdr.strategy.load import load_strategy
from ktrdr.strategy.spec import Strategy
from ktrdr.training.fit import Fitted, fit_together
from ktrdr.training.windows import Samples, Slice

ROWS, INPUTS, CLASSES, BATCH, HIDDEN, EPOCHS, TOGETHER = 100_000, 12, 3, 256, (64, 32), 3, 16
LEAST = {1: 2.4, TOGETHER: 8.0}
"""Times the rate of the plain loop."""
WORDS = ", ".join(f"w{i}: [{i}, {i + 1}, {i + 2}]" for i in range(INPUTS))
TEXT = f"""
name: candidate
training_data: {{symbols: [AAA], timeframes: [1h]}}
indicators: {{roc_2: {{type: roc, period: 2}}}}
fuzzy_sets: {{change: {{indicator: roc_2, {WORDS}}}}}
nn_inputs: [{{fuzzy_set: change, timeframes: all}}]
model: {{type: mlp, architecture: {{hidden_layers: {list(HIDDEN)}, dropout: %s}}}}
decisions: {{output_format: classification}}
training: {{epochs: {EPOCHS}, batch_size: {BATCH}, seed: %s, learning_rate: %s, weight_decay: %s}}
"""


def candidate(number: int, dropout: float) -> Strategy:
    """One of the strategies that are trained."""
    text = TEXT % (dropout, number, 0.001 * (1 + number % 4), 1e-4 * (1 + number % 3))
    return load_strategy(text, "bench").strategy


def slice_of(count: int, seed: int) -> Slice:
    """Rows whose class follows from the first inputs, with noise."""
    random = np.random.default_rng(seed)
    values = random.random((count, INPUTS)).astype(np.float32)
    score = values[:, 0] - values[:, 1] + random.normal(0, 0.3, count)
    return Slice(values, np.digitize(score, [-0.2, 0.2]).astype(np.int64), np.array([], "datetime64[us]"), np.arange(count))


def samples_of(rows: int) -> Samples:
    """The rows that every candidate learns from."""
    split = Split(train_end="", validation_start="", validation_end="", test_start="", embargo_rows=0, purged_rows=0)
    slices = (slice_of(count, seed) for seed, count in enumerate((rows, 1000, 1000)))
    return Samples(candidate(0, 0.0).feature_ids, "classification", *slices, {}, split, "", "", {})


def ours(samples: Samples, count: int, dropout: float) -> tuple[float, list[Fitted]]:
    """Samples per CPU second, and what was learned."""
    tasks = [(samples, candidate(number, dropout)) for number in range(count)]
    start = time.process_time()
    found = fit_together(tasks, on_batch=lambda _: None, on_epoch=lambda *_: None)
    spent = time.process_time() - start
    return count * EPOCHS * len(samples.train) / spent, [one for one in found if isinstance(one, Fitted)]


def plain(samples: Samples, dropout: float) -> float:
    """Samples per CPU second of the loop that every tutorial has."""
    x, y = torch.from_numpy(samples.train.values), torch.from_numpy(samples.train.targets)
    layers: list[torch.nn.Module] = []
    for before, units in zip((INPUTS, *HIDDEN), HIDDEN, strict=False):
        layers += [torch.nn.Linear(before, units), torch.nn.ReLU(), torch.nn.Dropout(dropout)]
    network = torch.nn.Sequential(*layers, torch.nn.Linear(HIDDEN[-1], CLASSES))
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=BATCH, shuffle=True)
    optimizer, criterion = torch.optim.Adam(network.parameters(), lr=0.001, weight_decay=1e-4), torch.nn.CrossEntropyLoss()
    start = time.process_time()
    for _ in range(EPOCHS):
        total = 0.0
        for inputs, targets in loader:
            optimizer.zero_grad()
            loss = criterion(network(inputs), targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            total += loss.item()
    return EPOCHS * len(samples.train) / (time.process_time() - start)


def main(rows: int = ROWS, rounds: int = 5) -> int:
    """Measure, print, and say whether the claim holds."""
    torch.set_num_threads(1)
    samples, holds = samples_of(rows), True
    plain(samples_of(5000), 0.0), ours(samples_of(5000), 2, 0.0)
    print(f"{rows:,} rows, {INPUTS} inputs, {'-'.join(map(str, HIDDEN))}-{CLASSES}, batch {BATCH}, 1 thread; medians of {rounds} rounds")
    for dropout in (0.0, 0.2):
        rates: dict[int, list[float]] = {0: [], 1: [], TOGETHER: []}
        alone: list[Fitted] = []
        company: list[Fitted] = []
        for _ in range(rounds):
            rates[0].append(plain(samples, dropout))
            rate, alone = ours(samples, 1, dropout)
            rates[1].append(rate)
            rate, company = ours(samples, TOGETHER, dropout)
            rates[TOGETHER].append(rate)
        print(f"  dropout {dropout}: plain loop {median(rates[0]):>11,.0f} samples per CPU second")
        for count, least in LEAST.items():
            times = median(own / peer for own, peer in zip(rates[count], rates[0], strict=True))
            fair = times >= least
            holds = holds and fair
            print(f"    {count:>2} at once {median(rates[count]):>17,.0f}   {times:5.1f} times{'' if fair else f', claimed {least}'}")
        same = all((alone[0].weights[name] == array).all() for name, array in company[0].weights.items())
        print(f"    the first of the {TOGETHER} has {'the same bits' if same else 'OTHER BITS'} alone")
        holds = holds and same
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
