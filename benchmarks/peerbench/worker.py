"""The process of one library at one thread count: reads requests, a JSON object a line, and answers each with a line.

``prepare`` (peer, line, direction, check) -> ok | unsupported | error; ``run`` (peer, seconds) -> blocks; ``forget``.
Start it as ``python -m peerbench.worker LIBRARY THREADS``, with the environment already set for the library.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from glob import glob
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from problems import parse

from peerbench.adapters import Call, Unsupported
from peerbench.task import Task

BLOCKS = 10  # blocks of repeated calls in one measurement, at least where a call is short enough
WARM_UP = 0.15  # part of the measurement's time spent before the clock starts


def waited() -> float:
    """Seconds that the threads of this process were ready to run but had no processor; 0 where the system is mute."""
    total = 0
    for file in glob("/proc/self/task/*/schedstat"):
        with suppress(OSError):  # the thread has ended meanwhile
            total += int(Path(file).read_text().split()[1])
    return total / 1e9


def measure(call: Call, seconds: float) -> list[tuple[float, float]]:
    """Seconds per call and share of the time spent waiting for a processor, for several blocks of calls.

    The blocks fill the time; a call that takes longer is one block.
    """
    run, calls, wait, start = call.run, 0, waited(), perf_counter()
    while calls == 0 or perf_counter() - start < WARM_UP * seconds:
        run()
        calls += 1
    now = perf_counter()
    if calls == 1 and now - start >= seconds:
        return [(now - start, (waited() - wait) / (now - start))]
    repeats = max(1, int(seconds / BLOCKS * calls / (now - start)))
    blocks: list[tuple[float, float]] = []
    while now < start + seconds or not blocks:
        wait, before = waited(), perf_counter()
        for _ in range(repeats):
            run()
        now = perf_counter()
        blocks.append(((now - before) / repeats, (waited() - wait) / (now - before)))
    return blocks


class Worker:
    def __init__(self, library: str, threads: int) -> None:
        self.adapter = import_module(f"peerbench.adapters.{library}")
        self.version = self.adapter.setup(threads)
        self.calls: dict[str, Call] = {}
        self.tasks: dict[tuple[str, str], Task] = {}

    def prepare(self, peer: str, line: str, direction: str, check: str) -> dict[str, Any]:
        task = self.tasks.setdefault((line, direction), Task(parse(line), direction))
        try:
            call = self.adapter.prepare(peer, task)
            np.save(check, call.result(call.run()))
        except Unsupported as reason:
            return {"unsupported": str(reason)}
        self.calls[peer] = call
        return {}

    def run(self, peer: str, seconds: float) -> dict[str, Any]:
        if peer not in self.calls:
            raise LookupError("was prepared in a process that has ended")
        return {"blocks": measure(self.calls[peer], seconds)}

    def forget(self) -> dict[str, Any]:
        """Free the row's data."""
        self.calls.clear()
        self.tasks.clear()
        return {}


def main() -> None:
    library, threads = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever the library prints must not mix with the answers

    def answer(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")

    try:
        worker = Worker(library, threads)
    except Exception as error:  # a broken installation is reported like a missing one
        answer({"error": f"{type(error).__name__}: {error}"})
        return
    answer({"version": worker.version})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(getattr(worker, request.pop("do"))(**request))
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"[:300]})


if __name__ == "__main__":
    main()
