"""Dropout: half of the hidden neurons are silenced at random in every step, so none can lean on another.

An MLP on only 200 handwritten digits, with and without. Writes pictures/dropout.png and prints the test results.
(``nn.Dropout(p)`` drops with probability p; lectures often give the probability of keeping, 1 - p.)
"""

from pathlib import Path

from fastconv import data, nn, optim, train, viz

PICTURES = Path(__file__).parent / "pictures"


def main() -> None:
    training, test = data.digits()
    training, _ = data.split(training, (200, 1000))
    training, test = data.standardise(training, test)
    histories = {}
    for p in (0.0, 0.5):
        nn.manual_seed(0)
        model = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, 256), nn.ReLU(), nn.Dropout(p),
            nn.Linear(256, 256), nn.ReLU(), nn.Dropout(p),
            nn.Linear(256, 10),
        )  # fmt: skip
        optimizer = optim.Adam(model.parameters(), lr=1e-3)
        history = train.fit(model, training, test, epochs=80, batch_size=20, optimizer=optimizer)
        histories["no dropout" if p == 0 else f"p = {p}"] = history
        last = history.epochs[-1]
        print(f"p = {p}: test loss {last['valid_loss']:.3f}, test accuracy {last['valid_accuracy']:.1%}")
    figure = viz.learning_curves(histories)
    for ax, limits in zip(figure.axes, ((0, 0.8), (0.8, 1.01)), strict=True):
        ax.set_ylim(*limits)
    figure.savefig(PICTURES / "dropout.png")


if __name__ == "__main__":
    main()
