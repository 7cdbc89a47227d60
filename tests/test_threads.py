"""Threads: how many, from where, and what fork, many Python threads and the GIL have to do with it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arrays import assert_same_bits
from cases import Case

import fastconv as fc

COUNT = "import fastconv; print(fastconv.get_num_threads())"


def python(code: str, tmp_path: Path, **environment: str | None) -> str:
    """Runs a script in a fresh process, away from the checkout, and returns what it prints."""
    env = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    env.update({k: v for k, v in environment.items() if v is not None})
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture
def restore_threads() -> Any:
    before = fc.get_num_threads()
    yield
    fc.set_num_threads(before)


def test_set_num_threads(restore_threads: None) -> None:
    for n in (1, 3, 2):
        fc.set_num_threads(n)
        assert fc.get_num_threads() == n == fc.show_config()["num_threads"]


@pytest.mark.parametrize("n", [0, -1])
def test_a_thread_at_least(n: int) -> None:
    before = fc.get_num_threads()
    with pytest.raises(ValueError, match=f"n must be at least 1, got {n}"):
        fc.set_num_threads(n)
    with pytest.raises(ValueError, match=f"n must be at least 1, got {n}"), fc.threads(n):
        pass
    assert fc.get_num_threads() == before


@pytest.mark.parametrize("n", ["2", 1.5, None, True, np.ones(3, int)], ids=repr)
def test_a_whole_number_of_threads(n: Any) -> None:
    with pytest.raises(TypeError, match=re.escape(f"n must be an integer, got {n!r}")):
        fc.set_num_threads(n)
    with pytest.raises(TypeError, match=re.escape(f"n must be an integer, got {n!r}")), fc.threads(n):
        pass


def test_numpy_s_numbers_of_threads_and_huge_ones(restore_threads: None) -> None:
    with fc.threads(10**30):
        assert fc.get_num_threads() == 2**31 - 1
    fc.set_num_threads(np.int64(2))  # type: ignore[arg-type]
    assert fc.get_num_threads() == 2


def test_with_threads_nests_and_ends() -> None:
    outside = fc.get_num_threads()
    with fc.threads(3):
        assert fc.get_num_threads() == 3
        with fc.threads(1):
            assert fc.get_num_threads() == 1
        assert fc.get_num_threads() == 3
    with pytest.raises(KeyError), fc.threads(2):
        raise KeyError
    assert fc.get_num_threads() == outside


def test_with_threads_is_of_one_python_thread() -> None:
    with fc.threads(7), ThreadPoolExecutor(1) as pool:
        assert pool.submit(fc.get_num_threads).result() != 7


def test_set_num_threads_is_of_the_process(restore_threads: None) -> None:
    fc.set_num_threads(6)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(fc.get_num_threads).result() == 6


def test_omp_num_threads(tmp_path: Path) -> None:
    assert python(COUNT, tmp_path, OMP_NUM_THREADS="3") == "3"


@pytest.mark.parametrize("nonsense", ["", "0", "-4", "many"])
def test_omp_num_threads_that_is_no_number(nonsense: str, tmp_path: Path) -> None:
    assert int(python(COUNT, tmp_path, OMP_NUM_THREADS=nonsense)) >= 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks here")
def test_affinity_mask(tmp_path: Path) -> None:
    one = min(os.sched_getaffinity(0))
    assert python(f"import os; os.sched_setaffinity(0, {{{one}}}); {COUNT}", tmp_path) == "1"


def test_import_starts_no_thread(tmp_path: Path) -> None:
    tasks = Path("/proc/self/task")
    if not tasks.exists():
        pytest.skip("no /proc")
    code = """
import numpy, os
before = len(os.listdir('/proc/self/task'))
import fastconv
print(len(os.listdir('/proc/self/task')) - before)
"""
    assert python(code, tmp_path) == "0"


# --- fork -------------------------------------------------------------------------------------------------------------

LARGE_CALL = """
import numpy as np, fastconv as fc
x, w = np.ones((2, 32, 64, 64), np.float32), np.ones((32, 32, 3, 3), np.float32)
def work(_):
    y = fc.conv2d(x, w, padding=1)
    g = fc.conv2d_backward(y, x, w, padding=1)
    return float(y.sum()), float(g.input.sum()), float(g.weight.sum())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_keeps_working(tmp_path: Path) -> None:
    """A child has one thread; the ones that the parent's parallel call left behind are not there to wait for."""
    code = f"""{LARGE_CALL}
import multiprocessing, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python's, for forking a process with threads
fc.set_num_threads(2)
expected = work(0)
with multiprocessing.get_context("fork").Pool(2) as pool:
    answers = pool.map_async(work, range(4)).get(timeout=60)
print(all(a == expected for a in answers) and work(0) == expected)
"""
    assert python(code, tmp_path) == "True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_before_the_first_call(tmp_path: Path) -> None:
    code = f"""{LARGE_CALL}
import os
fc.set_num_threads(2)
child = os.fork()
total = work(0)
if child == 0: os._exit(0 if total[0] > 0 else 1)
print(os.waitpid(child, 0)[1] == 0)
"""
    assert python(code, tmp_path) == "True"


def test_a_spawned_child(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"""{LARGE_CALL}
import multiprocessing
if __name__ == "__main__":
    expected = work(0)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map_async(work, [0]).get(timeout=60) == [expected])
""")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "True", done.stderr


# --- many Python threads ----------------------------------------------------------------------------------------------


def test_eight_python_threads_at_once() -> None:
    cases = [
        Case((25, 27), (3, 3), 1, 1, batch=2, ic=9, oc=17),
        Case((31, 33), (3, 3), 2, 2, mode="reflect", batch=2, ic=8, oc=8),
        Case((19, 21), (3, 3), 1, 1, groups=32, batch=2),
        Case((501,), (5,), 1, "same", mode="circular", batch=2, ic=16, oc=16),
    ]
    data = [case.data(np.float32) for case in cases]

    def run(i: int) -> list[Any]:
        case, (x, w, b, g) = cases[i % len(cases)], data[i % len(cases)]
        return [case.forward(x, w, b), *case.backward(g, x, w)]

    expected = [run(i) for i in range(len(cases))]
    start = threading.Barrier(8)

    def worker(first: int) -> list[tuple[int, list[Any]]]:
        start.wait()
        return [(i, run(i)) for i in range(first, first + 12)]

    with ThreadPoolExecutor(8) as pool:
        for results in pool.map(worker, range(8)):
            for i, arrays in results:
                for got, one in zip(arrays, expected[i % len(cases)], strict=True):
                    assert_same_bits(got, one)


def test_the_gil_is_released() -> None:
    """While one thread convolves, another goes on running Python."""
    x, w = np.ones((1, 64, 256, 256), np.float32), np.ones((64, 64, 3, 3), np.float32)
    done, ticks = threading.Event(), 0

    def convolve() -> None:
        with fc.threads(1):
            fc.conv2d(x, w, algorithm="direct")
        done.set()

    thread = threading.Thread(target=convolve)
    thread.start()
    while not done.is_set():
        time.sleep(0.001)
        ticks += 1
    thread.join()
    assert ticks >= 5


def test_errors_in_threads_stay_there() -> None:
    def bad(_: int) -> str:
        with pytest.raises(ValueError, match="weight") as caught:
            fc.conv2d(np.ones((1, 2, 4, 4)), np.ones((1, 3, 3, 3)))
        return str(caught.value)

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(bad, range(64)))) == 1


def test_python_ends_while_daemon_threads_compute() -> None:
    """A thread that comes back from a kernel when Python is over waits; it aborts nothing."""
    program = f"""{LARGE_CALL}
import threading, time
def forever():
    while True: work(0)
for _ in range(4): threading.Thread(target=forever, daemon=True).start()
time.sleep(0.2)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("step", [1, 2])
def test_results_of_many_new_pages(step: int) -> None:
    """Of more than 32 MB, pages are touched beforehand by all threads: nothing else is, and no element is lost."""
    x = np.arange(2100 * 2050, dtype=np.float32).reshape(1, 1, 2100, 2050) % 17
    w = np.array([2, -3], np.float32).reshape(2, 1, 1, 1)
    memory = np.full((1, 2, 2100, 2050 * step), np.nan, np.float32)
    with fc.threads(2):
        fc.conv2d(x, w, out=memory[..., ::step])
        assert np.array_equal(fc.conv2d(x, w), memory[..., ::step])
    assert np.array_equal(memory[0, :, :, ::step], np.concatenate([2 * x[0], -3 * x[0]]))
    assert step == 1 or np.isnan(memory[..., 1::step]).all()
