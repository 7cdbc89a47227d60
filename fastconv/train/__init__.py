"""Training: ``fit(model, train, valid) -> History``, evaluation, early stopping, checkpoints.

train, valid, test = data.standardise(*data.fashion_mnist())
model = nn.models.lenet5()
history = train.fit(model, train_set, valid_set, epochs=10, callbacks=[train.EarlyStopping()], checkpoint="run.st")
"""

from fastconv.train import metrics
from fastconv.train.callbacks import Callback, EarlyStopping, LambdaCallback, Run
from fastconv.train.checkpoint import load, save
from fastconv.train.history import History
from fastconv.train.loop import evaluate, fit, predict
from fastconv.train.profile import Profile

__all__ = [
    "Callback",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "Profile",
    "Run",
    "evaluate",
    "fit",
    "load",
    "metrics",
    "predict",
    "save",
]
