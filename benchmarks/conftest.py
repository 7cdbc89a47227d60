"""Options of the benchmark suites, the fixture that times and checks a call, and the table of rates at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from problems import Problem

import fastconv


@dataclass(frozen=True)
class Rate:
    """One line of the table at the end; ``seconds`` is the median call."""

    suite: str
    name: str
    seconds: float
    gflops: float
    gbytes: float


_RATES = pytest.StashKey[list[Rate]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--threads", type=int, default=1, help="threads of fastconv (default: %(default)s)")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RATES] = []


@pytest.fixture(autouse=True)
def _threads(request: pytest.FixtureRequest) -> Iterator[None]:
    with fastconv.threads(request.config.getoption("--threads")):
        yield


@pytest.fixture
def rate(request: pytest.FixtureRequest, benchmark: Any) -> Callable[..., None]:
    """``rate(problem, call, check)``: time ``call()``, give its result to ``check``, and note GFLOP/s and GB/s."""

    def run(problem: Problem, call: Callable[[], Any], check: Callable[[Any], None]) -> None:
        benchmark.extra_info["threads"] = fastconv.get_num_threads()
        check(benchmark(call))
        if benchmark.stats is None:  # --benchmark-disable: called once and not timed
            return
        seconds = benchmark.stats.stats.median
        suite = request.node.name.split("[")[0].removeprefix("bench_")
        name = request.node.callspec.id
        line = Rate(suite, name, seconds, problem.flops / seconds / 1e9, problem.bytes / seconds / 1e9)
        benchmark.extra_info.update(gflops=line.gflops, gbytes=line.gbytes)
        request.config.stash[_RATES].append(line)

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    rates = config.stash[_RATES]
    if not rates:
        return
    threads = config.getoption("--threads")
    terminalreporter.section(f"rates, {threads} thread(s), {fastconv.show_config()['isa']}")
    terminalreporter.write_line(f"{'':44}{'median us':>12}{'GFLOP/s':>10}{'GB/s':>9}")
    for line in rates:
        name = f"{line.suite} {line.name}"
        terminalreporter.write_line(f"{name:44}{line.seconds * 1e6:12.1f}{line.gflops:10.1f}{line.gbytes:9.2f}")
