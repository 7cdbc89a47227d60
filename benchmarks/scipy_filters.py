"""fastconv.ndimage and fastconv.signal against SciPy and, if it can be imported, OpenCV, as a Markdown table.

The libraries are called in turn, round after round, on the same arrays, and agree on the result before anything is
timed; the figures are medians. SciPy computes float32 images in double precision and gives float32. Whole numbers are
compared with SciPy alone: where it rounds towards zero and wraps, OpenCV rounds to the nearest and saturates.

    python benchmarks/scipy_filters.py --threads 1
    python benchmarks/scipy_filters.py --dtype float64 --only gaussian uniform --markdown filters.md
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from math import exp, log
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import scipy.ndimage
import scipy.signal

import fastconv
from fastconv import ndimage, signal
from fastconv.bench import units

Call = Callable[[], Any]
IMAGES = ((8, 8), (512, 512), (1024, 1024), (64, 64, 64))
SECONDS = 0.5  # of a case, about
ROUNDS = (5, 2000)


def opencv() -> Any:
    """OpenCV, or None where it is not installed."""
    try:
        return import_module("cv2")
    except ImportError:
        return None


@dataclass(frozen=True)
class Case:
    """One filter of one array: a name and the call of each library that has it."""

    name: str
    calls: dict[str, Call]


def _both(ours: Any, theirs: Any, name: str, *args: Any, **options: Any) -> dict[str, Call]:
    libraries = {"fastconv": ours, "SciPy": theirs}
    return {library: partial(getattr(module, name), *args, **options) for library, module in libraries.items()}


def _opencv_calls(cv2: Any, x: Any) -> dict[str, Call]:
    """What OpenCV has, by the name of the case, with the borders of ndimage's reflect."""
    edge = {"borderType": cv2.BORDER_REFLECT}
    calls: dict[str, Call] = {
        "sobel": lambda: cv2.Sobel(x, -1, 1, 0, ksize=3, **edge),
        "laplace": lambda: cv2.Laplacian(x, -1, ksize=1, **edge),
    }
    for k in (3, 7, 31):
        calls[f"correlate {k}"] = partial(cv2.filter2D, x, -1, _kernel(2, k), **edge)
    for sigma in (1, 2, 5):
        calls[f"gaussian {sigma}"] = partial(cv2.GaussianBlur, x, (8 * sigma + 1,) * 2, sigma, **edge)
    for k in (3, 9, 51):
        calls[f"uniform {k}"] = partial(cv2.blur, x, (k, k), **edge)
    for k in (3, 9, 31):
        calls[f"maximum {k}"] = partial(cv2.dilate, x, np.ones((k, k)))
        calls[f"minimum {k}"] = partial(cv2.erode, x, np.ones((k, k)))
    return calls


def _kernel(ndim: int, k: int) -> Any:
    return np.random.default_rng(k).standard_normal((k,) * ndim)


def _filters(x: Any) -> Iterator[tuple[str, dict[str, Call]]]:
    both = partial(_both, ndimage, scipy.ndimage)
    for k in (3, 7, 31):
        if k <= 3 * min(x.shape) and (x.ndim == 2 or k < 31):
            yield f"correlate {k}", both("correlate", x, _kernel(x.ndim, k))
    for sigma in (1, 2, 5):
        yield f"gaussian {sigma}", both("gaussian_filter", x, sigma)
    for k in (3, 9, 51):
        yield f"uniform {k}", both("uniform_filter", x, k)
    for k in (3, 9, 31):
        yield f"maximum {k}", both("maximum_filter", x, k)
    yield "minimum 9", both("minimum_filter", x, 9)
    if x.ndim == 2:
        disk = np.hypot(*np.mgrid[-7:8, -7:8]) < 7.5
        yield "maximum, disk 15", both("maximum_filter", x, footprint=disk)
    yield "sobel", both("sobel", x)
    yield "laplace", both("laplace", x)


def _signals(dtype: Any) -> Iterator[tuple[str, dict[str, Call]]]:
    both, rng = partial(_both, signal, scipy.signal), np.random.default_rng(0)

    def noise(*shape: int) -> Any:
        return rng.standard_normal(shape).astype(dtype)

    image = noise(512, 512)
    yield "convolve2d 7, symm, 512x512", both("convolve2d", image, noise(7, 7), "same", "symm")
    yield "correlate2d 15, wrap, 512x512", both("correlate2d", image, noise(15, 15), "same", "wrap")
    yield "fftconvolve 63, 512x512", both("fftconvolve", image, noise(63, 63), "same")
    yield "fftconvolve 512x512, 512x512", both("fftconvolve", image, noise(512, 512), "full")
    yield "convolve 15, 262144", both("convolve", noise(2**18), noise(15), "same")
    yield "oaconvolve 1000, 262144", both("oaconvolve", noise(2**18), noise(1000), "same")
    yield "convolve 3, 8x8", both("convolve", noise(8, 8), noise(3, 3), "same")


def cases(dtype: Any, only: list[str]) -> Iterator[Case]:
    """All cases whose name holds one of the words of ``only``, made one at a time."""
    cv2 = opencv()
    for shape in IMAGES:
        x = (100 + 40 * np.random.default_rng(0).standard_normal(shape)).astype(dtype)
        other = _opencv_calls(cv2, x) if cv2 and x.ndim == 2 and x.dtype.kind == "f" else {}
        for name, calls in _filters(x):
            if name in other:
                calls["OpenCV"] = other[name]
            yield Case(f"{name}, {'x'.join(map(str, shape))}", calls)
    if dtype.kind == "f":
        for name, calls in _signals(dtype):
            yield Case(name, calls)


def check(case: Case) -> None:
    """Raises AssertionError if a library's result is not ours."""
    results = {library: np.asarray(call(), np.float64) for library, call in case.calls.items()}
    ours = results["fastconv"]
    for library, theirs in results.items():
        close = np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()
        if not close and not (library == "OpenCV" and min(ours.shape) < 64):  # it mirrors a small image but once
            raise AssertionError(f"{case.name}: fastconv and {library} disagree")


def times(case: Case) -> dict[str, float]:
    """Median seconds of each library."""
    taken: dict[str, list[float]] = {library: [] for library in case.calls}
    begin, (least, most) = perf_counter(), ROUNDS
    for done in range(most):
        if done >= least and perf_counter() - begin > SECONDS:
            break
        for library, call in case.calls.items():
            start = perf_counter()
            call()
            taken[library].append(perf_counter() - start)
    return {library: median(seconds[len(seconds) // 10 :]) for library, seconds in taken.items()}


def table(rows: Iterable[tuple[str, dict[str, float]]]) -> str:
    """The Markdown table: times, and how many times faster than the others fastconv is."""
    lines = ["| filter | fastconv | SciPy | OpenCV | over SciPy | over OpenCV |", "| --- |" + " ---: |" * 5]
    ratios: dict[str, list[float]] = {"SciPy": [], "OpenCV": []}
    for name, seconds in rows:
        ours = seconds["fastconv"]
        cells = [name, *(units.seconds(seconds[m]) if m in seconds else "" for m in ("fastconv", *ratios))]
        for other, so_far in ratios.items():
            cells.append(units.ratio(seconds[other] / ours) if other in seconds else "")
            so_far += [seconds[other] / ours] if other in seconds else []
        lines.append(f"| {' | '.join(cells)} |")
    means = [units.ratio(exp(sum(map(log, r)) / len(r))) if r else "" for r in ratios.values()]
    lines.append(f"| geometric mean |  |  |  | {' | '.join(means)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of fastconv and OpenCV (default: %(default)s)")
    parser.add_argument(
        "--dtype", default="float32", choices=["float32", "float64", "uint8"], help="default: %(default)s"
    )
    parser.add_argument("--only", nargs="*", default=[""], metavar="WORD", help="cases with one of these in their name")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="also write the table there")
    options = parser.parse_args()
    cv2 = opencv()
    if cv2:
        cv2.setNumThreads(options.threads)
    rows = []
    with fastconv.threads(options.threads):
        for case in cases(np.dtype(options.dtype), options.only):
            if any(word in case.name for word in options.only):
                check(case)
                rows.append((case.name, times(case)))
    other = f", OpenCV {cv2.__version__}" if cv2 else ""
    print(f"{options.dtype}, {options.threads} thread(s), {fastconv.show_config()['isa']}; ", end="")
    print(f"numpy {np.__version__}, SciPy {scipy.__version__}{other}\n")
    print(table(rows))
    if options.markdown:
        options.markdown.write_text(table(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
