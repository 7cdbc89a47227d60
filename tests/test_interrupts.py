"""An exception or an interrupt, wherever Python code runs in a call, leaves nothing locked and no setting changed."""

from __future__ import annotations

import _thread
import ctypes
import signal
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn, train

X = np.ones((2, 8, 32, 32), np.float32)
W = np.ones((8, 8, 3, 3), np.float32)
WANT = np.full((2, 8, 30, 30), 72, np.float32)


def works_everywhere() -> None:
    """A call on this thread, and one on a new thread that must end in time."""
    results: list[np.ndarray] = [fc.conv2d(X, W)]
    other = threading.Thread(target=lambda: results.append(fc.conv2d(X, W)), daemon=True)
    other.start()
    other.join(30)
    assert not other.is_alive() and len(results) == 2, "a call hangs"
    for result in results:
        np.testing.assert_array_equal(result, WANT)


class Raises:
    """An argument whose conversion, in the middle of a call, raises."""

    def __init__(self, error: type[BaseException]) -> None:
        self.error = error

    def __index__(self) -> int:
        raise self.error

    def __array__(self, dtype: object = None, copy: object = None) -> np.ndarray:
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError, ZeroDivisionError])
@pytest.mark.parametrize(
    "call",
    [
        lambda bad: fc.conv2d(bad, W),
        lambda bad: fc.conv2d(X, W, stride=bad),
        lambda bad: fc.max_pool2d(X, bad),
        lambda bad: fc.pad(X, (bad, 1)),
        lambda bad: fc.PackedConv2d(W, padding=bad),
    ],
)
def test_argument_that_raises(call: Callable[[Raises], object], error: type[BaseException]) -> None:
    with pytest.raises((error, TypeError)) as raised:
        call(Raises(error))
    assert isinstance(raised.value, error) or isinstance(raised.value.__cause__, error)
    assert error is not KeyboardInterrupt or isinstance(raised.value, error)
    works_everywhere()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_training_callback_that_raises(error: type[BaseException]) -> None:
    class Stop(train.Callback):
        def on_epoch_end(self, run: train.Run) -> None:
            raise error

    before = fc.get_num_threads()
    model = nn.Sequential(nn.Conv2d(8, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1800, 2))
    data = (X, np.array([0, 1]))
    try:
        train.fit(model, data, epochs=2, callbacks=[Stop()])
    except error:
        pass  # fit itself ends a run that is interrupted from the keyboard
    assert fc.get_num_threads() == before
    works_everywhere()
    assert len(train.fit(model, data, epochs=1)["loss"]) == 1


def test_interrupt_from_the_keyboard_in_training() -> None:
    """An epoch that would take hours ends after the batch at hand, and the model works on."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    model = nn.Sequential(nn.Conv2d(8, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(1800, 2))
    n = 1_000_000
    x = np.broadcast_to(X[0], (n, *X.shape[1:]))
    start = time.monotonic()
    try:
        threading.Timer(0.5, _thread.interrupt_main).start()
        history = train.fit(model, (x, np.zeros(n, np.int64)), batch_size=1)
    finally:
        signal.signal(signal.SIGINT, before)
    assert history.stopped == "interrupted" and len(history) == 0 and not model.training
    assert time.monotonic() - start < 30
    works_everywhere()
    assert len(train.fit(model, (X, np.array([0, 1])), epochs=1)["loss"]) == 1


def test_exception_in_a_limit_of_threads() -> None:
    before = fc.get_num_threads()
    with pytest.raises(KeyboardInterrupt), fc.threads(1):
        fc.conv2d(X, W)
        raise KeyboardInterrupt
    assert fc.get_num_threads() == before
    works_everywhere()


def test_interrupt_from_the_keyboard() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            threading.Timer(0.2, _thread.interrupt_main).start()
            until = time.monotonic() + 30
            while time.monotonic() < until:
                fc.conv2d(X, W)
    finally:
        signal.signal(signal.SIGINT, before)
    works_everywhere()


def test_exception_sent_to_a_working_thread() -> None:
    class Sent(Exception):
        pass

    ended: list[bool] = []

    def work() -> None:
        try:
            until = time.monotonic() + 30
            while time.monotonic() < until:
                fc.conv2d(X, W)
        except Sent:
            ended.append(True)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    time.sleep(0.1)
    assert worker.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(worker.ident), ctypes.py_object(Sent))
    worker.join(30)
    assert ended == [True]
    works_everywhere()
