"""L2 smooths, L1 empties: what the two penalties do to a network with more weights than it needs.

A wide network on 60 noisy points without a penalty and with growing L2: the boundary calms down and the test improves.
Then L1 on an MLP of the handwritten digits: most weights become exactly 0 and it works nearly as well as before.
Writes pictures/l2.png and pictures/l1.png and prints the numbers.
"""

from pathlib import Path

import numpy as np

from fastconv import data, nn, optim, train, viz
from fastconv.viz.figure import grid, picture

PICTURES = Path(__file__).parent / "pictures"


def l2() -> None:
    training, _ = data.moons(60, noise=0.35, seed=2)
    _, test = data.moons(2000, noise=0.35, seed=3)
    models = {}
    for strength in (0.0, 0.0005, 0.005):
        nn.manual_seed(1)
        model = nn.Sequential(nn.Linear(2, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))
        optimizer = optim.Adam(model.parameters(), lr=0.005)
        train.fit(model, training, epochs=600, optimizer=optimizer, penalties=[nn.L2(strength)], batch_size=60)
        right = [train.evaluate(model, part)["accuracy"] for part in (training, test)]
        print(f"L2 strength {strength:<7} accuracy: training {right[0]:.1%}   test {right[1]:.1%}")
        models[f"strength {strength}: test {right[1]:.1%}"] = model
    viz.decision_boundary(models, *training).savefig(PICTURES / "l2.png")


def l1() -> None:
    training, test = data.standardise(*data.digits())
    figure, axes = grid(1, 3, 2.9, 1.9)
    for ax, strength in zip(axes[0], (0.0, 1e-3, 4e-3), strict=True):
        nn.manual_seed(0)
        model = nn.models.mlp((1, 8, 8), 10, (64,))
        optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, l1=strength)
        train.fit(model, training, epochs=60, optimizer=optimizer)
        weight = model[1].weight.data
        zeros = float((weight == 0).mean())
        right = train.evaluate(model, test)["accuracy"]
        print(f"L1 strength {strength:<7} weights exactly 0: {zeros:6.1%}   test accuracy {right:.1%}")
        limit = np.abs(weight).max()
        title = f"L1 strength {strength:g}\n{zeros:.0%} zeros, test {right:.1%}"
        picture(ax, weight[:40], title, 8, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto")
    axes[0, 0].set_ylabel("40 hidden neurons", fontsize=7)
    axes[0, 0].set_xlabel("64 pixels", fontsize=7)
    figure.savefig(PICTURES / "l1.png")


if __name__ == "__main__":
    l2()
    l1()
