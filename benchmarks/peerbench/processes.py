"""Worker processes as the parent sees them: started when needed, asked over a pipe, given up when they hang or die."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from peerbench.catalogue import Library

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OMP_THREAD_LIMIT")


class WorkerError(Exception):
    """The process failed, or does not answer."""


def environment(library: Library, threads: int, isa: str | None) -> dict[str, str]:
    """The variables that fix thread count and instruction set, to be set before the library is loaded."""
    limits = dict.fromkeys(THREAD_VARIABLES + library.threads, str(threads))
    ladder: dict[str, str] = {}
    if isa == "v3":
        ladder = library.v3 or {}
    elif isa and library.adapter == "fastconv":
        ladder = {"FASTCONV_ISA": isa}
    return os.environ | limits | ladder


class WorkerProcess:
    """One library at one thread count."""

    def __init__(self, library: Library, threads: int, isa: str | None, python: str, log: Path, timeout: float) -> None:
        self.timeout = timeout
        self.log = log
        with log.open("a") as errors:
            self.process = subprocess.Popen(
                [python, "-m", "peerbench.worker", library.adapter, str(threads)],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=Path(__file__).parent.parent,
                env=environment(library, threads, isa),
            )
        self.selector = selectors.DefaultSelector()
        assert self.process.stdout is not None
        self.selector.register(self.process.stdout, selectors.EVENT_READ)
        self.pending = b""
        try:
            self.version: str = self._answer()["version"]
        except WorkerError:
            self.close()
            raise

    def ask(self, do: str, **request: Any) -> dict[str, Any]:
        """Send a request and wait for its answer; WorkerError if there is none or it is an error."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps({"do": do, **request}).encode() + b"\n")
            self.process.stdin.flush()
        except (OSError, ValueError) as error:  # the pipe is broken, or closed
            self.close()
            raise WorkerError(f"process ended: {self._last_words()}") from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        stdout = self.process.stdout
        assert stdout is not None
        while b"\n" not in self.pending:
            if not self.selector.select(self.timeout):
                self.close()
                raise WorkerError(f"no answer in {self.timeout:g} s")
            chunk = os.read(stdout.fileno(), 1 << 20)
            if not chunk:
                self.close()
                raise WorkerError(f"process ended: {self._last_words()}")
            self.pending += chunk
        line, _, self.pending = self.pending.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else "no message"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def close(self) -> None:
        with self.process:  # closes the pipes and reaps it
            self.process.kill()


class Workers:
    """All worker processes of a run; a library that cannot start is remembered with its reason and not tried again."""

    def __init__(self, isa: str | None, pythons: dict[str, str], folder: Path, timeout: float) -> None:
        self.isa, self.pythons, self.folder, self.timeout = isa, pythons, folder, timeout
        self.workers: dict[tuple[str, int], WorkerProcess] = {}
        self.missing: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    def get(self, library: Library, threads: int) -> WorkerProcess:
        if library.name in self.missing:
            raise WorkerError(self.missing[library.name])
        key = (library.name, threads)
        if key not in self.workers or not self.workers[key].alive:
            python = self.pythons.get(library.name, sys.executable)
            log = self.folder / f"{library.name}-{threads}.log"
            try:
                self.workers[key] = WorkerProcess(library, threads, self.isa, python, log, self.timeout)
            except WorkerError as error:
                self.missing[library.name] = str(error)
                raise
            self.versions[library.name] = self.workers[key].version
        return self.workers[key]

    def forget(self) -> None:
        """Let every process free the data of the last row."""
        for worker in self.workers.values():
            with suppress(WorkerError):
                worker.ask("forget")

    def close(self) -> None:
        for worker in self.workers.values():
            worker.close()
