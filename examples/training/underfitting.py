"""Underfitting: a model too simple for its data has a high risk on the training set and on new data alike.

Two half circles, one reaching into the other. One neuron can only draw a straight line; sixteen hidden ones bend it.
Writes pictures/underfitting.png and prints the share of wrong answers of both.
"""

from pathlib import Path

from fastconv import data, nn, optim, train, viz

PICTURES = Path(__file__).parent / "pictures"


def main() -> None:
    training, test = data.moons(300, noise=0.2)
    nn.manual_seed(0)
    models = {
        "one neuron": nn.Sequential(nn.Linear(2, 2)),
        "16 hidden neurons": nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2)),
    }
    for title, model in models.items():
        optimizer = optim.Adam(model.parameters(), lr=0.02)
        train.fit(model, training, epochs=150, optimizer=optimizer)
        risk = {name: 1 - train.evaluate(model, part)["accuracy"] for name, part in
                (("training", training), ("test", test))}  # fmt: skip
        print(f"{title:18} wrong: training {risk['training']:6.1%}   test {risk['test']:6.1%}")
    viz.decision_boundary(models, *training).savefig(PICTURES / "underfitting.png")


if __name__ == "__main__":
    main()
