"""Dropout: half of the hidden neurons are silenced at random in every step, so none can lean on another.

A wide MLP on 300 handwritten digits, three in ten of them with a wrong label, with and without; five runs of each,
which differ in the digits, the wrong labels and the first weights. Without dropout it learns the wrong labels by heart.
Writes pictures/dropout.png and prints the test results, mean and standard deviation of the five.
(``nn.Dropout(p)`` drops with probability p; lectures often give the probability of keeping, 1 - p.)
"""

from pathlib import Path

import numpy as np

from fastconv import data, nn, optim, train
from fastconv.viz.figure import COLOURS, grid, plain

PICTURES = Path(__file__).parent / "pictures"
RUNS, EPOCHS = 5, 80


def digits(seed: int) -> tuple[data.Dataset, data.Dataset]:
    """300 digits to train, 90 of them with another label, and the test set."""
    pool, test = data.digits()
    training, _ = data.split(pool, (300, 1000), seed)
    rng = np.random.default_rng(seed)
    wrong = rng.choice(300, 90, replace=False)
    training.y[wrong] = (training.y[wrong] + rng.integers(1, 10, 90)) % 10
    training, test = data.standardise(training, test)
    return training, test


def fit(inputs: float, hidden: float, seed: int) -> train.History:
    training, test = digits(seed)
    nn.manual_seed(seed)
    model = nn.Sequential(
        nn.Flatten(), nn.Dropout(inputs),
        nn.Linear(64, 512), nn.ReLU(), nn.Dropout(hidden),
        nn.Linear(512, 512), nn.ReLU(), nn.Dropout(hidden),
        nn.Linear(512, 10),
    )  # fmt: skip
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    return train.fit(model, training, test, epochs=EPOCHS, batch_size=20, optimizer=optimizer, seed=seed)


def main() -> None:
    figure, axes = grid(1, 3, 3.0, 2.6)
    columns = {
        "accuracy": "training accuracy (labels as given)",
        "valid_loss": "test loss",
        "valid_accuracy": "test accuracy",
    }
    cases = {"no dropout": (0.0, 0.0), "dropout: inputs 0.2, hidden 0.5": (0.2, 0.5)}
    for (title, shares), colour in zip(cases.items(), COLOURS, strict=False):
        histories = [fit(*shares, seed) for seed in range(RUNS)]
        for ax, (column, label) in zip(axes[0], columns.items(), strict=True):
            curves = np.array([history[column] for history in histories])
            mean, spread = curves.mean(axis=0), curves.std(axis=0)
            epochs = np.arange(1, EPOCHS + 1)
            ax.plot(epochs, mean, color=colour, label=title)
            ax.fill_between(epochs, mean - spread, mean + spread, color=colour, alpha=0.25, linewidth=0)
            ax.set_title(label, fontsize=9)
            ax.set_xlabel("epoch")
        loss, right = (np.array([h[name][-1] for h in histories]) for name in ("valid_loss", "valid_accuracy"))
        print(
            f"{title:32} test loss {loss.mean():.3f} +- {loss.std():.3f},"
            f" test accuracy {right.mean():.1%} +- {right.std():.1%}"
        )
    for ax in axes[0]:
        plain(ax)
    axes[0, 2].legend(fontsize=7, frameon=False, loc="lower right")
    figure.savefig(PICTURES / "dropout.png")


if __name__ == "__main__":
    main()
