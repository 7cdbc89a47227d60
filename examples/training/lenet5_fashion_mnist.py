"""LeNet-5 on 60,000 photographs of clothes, with an MLP of about as many parameters beside it.

Needs Fashion-MNIST: apt-get install dataset-fashion-mnist. About 90 % right after 10 epochs of a few seconds each.
Writes pictures/lenet5_*.png and prints the test accuracies, also with the test images moved by two pixels.
"""

from pathlib import Path

import numpy as np

from fastconv import data, nn, optim, train, viz
from fastconv.train import metrics

PICTURES = Path(__file__).parent / "pictures"
EPOCHS = 10


def main() -> None:
    training, test = data.fashion_mnist()
    training, valid = data.split(training, (0.9, 0.1))
    training, valid, test = data.standardise(training, valid, test)
    background = float(test.x.min())
    moved = data.shift_images(test.x, np.full((len(test), 2), 2), background)
    nn.manual_seed(0)
    models = {"LeNet-5": nn.models.lenet5(), "MLP": nn.models.mlp(hidden=(72, 60))}
    histories = {}
    for title, model in models.items():
        print(f"{title}\n{nn.summary(model, (1, 28, 28))}")
        optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        schedule = optim.CosineAnnealingLR(optimizer, EPOCHS)
        history = train.fit(model, training, valid, epochs=EPOCHS, optimizer=optimizer, schedule=schedule)
        histories[title] = history
        still = train.evaluate(model, test)["accuracy"]
        shifted = train.evaluate(model, (moved, test.y))["accuracy"]
        seconds = sum(history["seconds"]) / len(history)
        print(f"{title}: test accuracy {still:.2%}, moved by two pixels {shifted:.2%}; {seconds:.1f} s an epoch\n")
    viz.learning_curves(histories).savefig(PICTURES / "lenet5_curves.png")
    lenet = models["LeNet-5"]
    outputs = train.predict(lenet, test.x)
    viz.filters(lenet[0]).savefig(PICTURES / "lenet5_filters.png")
    viz.feature_maps(lenet, test.x[0]).savefig(PICTURES / "lenet5_maps.png")
    matrix = metrics.confusion_matrix(outputs, test.y)
    viz.confusion_matrix(matrix, test.classes).savefig(PICTURES / "lenet5_confusion.png")
    viz.misclassified(test.x, test.y, outputs, test.classes).savefig(PICTURES / "lenet5_wrong.png")


if __name__ == "__main__":
    main()
