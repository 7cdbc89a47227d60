"""Overfitting: a model too free for its data learns the noise. Low risk on the training set, high on new data.

Fifteen noisy samples of one period of a sine. Three networks: a straight line (underfits), 4 hidden neurons (about
right), 100 weights on a basis of waves (goes through every point). Writes pictures/overfitting.png, prints the errors.
"""

from pathlib import Path

import numpy as np

from fastconv import data, nn, optim, train
from fastconv.viz.figure import COLOURS, GREY, grid, plain

PICTURES = Path(__file__).parent / "pictures"


class Waves(nn.Module):
    """``x`` as sines of random frequency and phase: a fixed first layer that lets the next one bend sharply."""

    def __init__(self, count: int, highest: float) -> None:
        rng = np.random.default_rng(0)
        self.frequency = rng.uniform(0, highest, count).astype(np.float32)
        self.phase = rng.uniform(0, 2 * np.pi, count).astype(np.float32)

    def forward(self, x: np.ndarray) -> np.ndarray:
        self._save(x)
        return np.sin(x * self.frequency + self.phase)

    def backward(self, grad: np.ndarray, need_input_grad: bool = True) -> np.ndarray:
        x = self._take_saved()
        return (grad * np.cos(x * self.frequency + self.phase) * self.frequency).sum(axis=1, keepdims=True)


def main() -> None:
    training, test = data.noisy_sine(15, noise=0.25, seed=4)
    nn.manual_seed(0)
    models = {
        "a line": nn.Sequential(nn.Linear(1, 1)),
        "4 hidden neurons": nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)),
        "100 waves": nn.Sequential(Waves(100, 60), nn.Linear(100, 1)),
    }
    figure, axes = grid(1, 3, 3.0, 2.8, sharey=True)
    line = np.linspace(0, 1, 400, dtype=np.float32)[:, None]
    for ax, (title, model) in zip(axes[0], models.items(), strict=True):
        optimizer = optim.Adam(model.parameters(), lr=0.02)
        train.fit(model, training, epochs=3000, loss="mse", metrics=(), optimizer=optimizer, batch_size=15)
        errors = [train.evaluate(model, part, "mse", ())["loss"] for part in (training, test)]
        print(f"{title:18} mean squared error: training {errors[0]:.4f}   test {errors[1]:.4f}")
        ax.plot(line, np.sin(2 * np.pi * line), color=GREY, linewidth=1, linestyle=":", label="truth")
        ax.plot(line, train.predict(model, line, 400), color=COLOURS[0], label="learnt")
        ax.scatter(*training, s=18, color=COLOURS[1], zorder=3, label="training points")
        ax.set_title(f"{title}\ntraining {errors[0]:.3f}, test {errors[1]:.3f}", fontsize=9)
        ax.set_ylim(-2, 2)
        plain(ax)
    axes[0, 0].legend(fontsize=7, frameon=False, loc="lower left")
    figure.savefig(PICTURES / "overfitting.png")


if __name__ == "__main__":
    main()
