"""Early stopping: training ends when the validation loss has stopped falling, with the weights it was lowest with.

A wide MLP on 300 handwritten digits, a fifth of them with a wrong label. Left alone it goes on to learn the wrong
labels by heart. Writes pictures/early_stopping.png and prints the test results of both.
"""

from pathlib import Path

import numpy as np

from fastconv import data, nn, optim, train, viz

PICTURES = Path(__file__).parent / "pictures"
EPOCHS = 60


def main() -> None:
    pool, test = data.digits()
    training, valid = data.split(pool, (300, 300))
    rng = np.random.default_rng(0)
    wrong = rng.choice(300, 60, replace=False)
    training.y[wrong] = (training.y[wrong] + rng.integers(1, 10, 60)) % 10
    training, valid, test = data.standardise(training, valid, test)
    results = {}
    for title, callbacks in {"to the end": [], "early stopping": [train.EarlyStopping(patience=8)]}.items():
        nn.manual_seed(0)
        model = nn.models.mlp((1, 8, 8), 10, (256,))
        optimizer = optim.Adam(model.parameters(), lr=2e-3)
        history = train.fit(
            model, training, valid, epochs=EPOCHS, batch_size=32, optimizer=optimizer, callbacks=callbacks
        )
        results[title] = history
        found = train.evaluate(model, test)
        print(
            f"{title:15} {len(history):2} epochs, weights of epoch"
            f" {history.best() + 1 if callbacks else len(history):2}:"
            f" test loss {found['loss']:.3f}, test accuracy {found['accuracy']:.1%}"
        )
    viz.learning_curves(results["to the end"], best="valid_loss").savefig(PICTURES / "early_stopping.png")


if __name__ == "__main__":
    main()
