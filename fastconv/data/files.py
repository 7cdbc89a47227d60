"""Where data sets lie on this machine, and the formats they come in. Nothing is ever downloaded."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fastconv.data.dataset import Array

_IDX_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def folders(*fixed: str) -> list[Path]:
    """``$FASTCONV_DATA`` and then ``fixed``."""
    own = os.environ.get("FASTCONV_DATA")
    return [Path(folder) for folder in ([own] if own else []) + list(fixed)]


def find(names: Iterable[str], places: Iterable[Path], hint: str) -> Path:
    """The first of ``places`` that holds one of ``names``, which are relative paths. Raises FileNotFoundError."""
    names, places = list(names), list(places)
    for place in places:
        for name in names:
            if (place / name).is_file():
                return place / name
    searched = ", ".join(map(str, places)) or "nowhere"
    raise FileNotFoundError(f"{names[0]} was not found (searched {searched}): {hint}")


def in_package(package: str, relative: str, hint: str) -> Path:
    """A data file of an installed package, which is not imported. Raises FileNotFoundError with the hint."""
    spec = find_spec(package)
    places = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    return find([relative], places, hint)


def read_bytes(path: Path) -> bytes:
    """Content of a file, unpacked if it is gzip. Raises ValueError if the archive is damaged or cut short."""
    raw = path.read_bytes()
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file: {error}") from error


def read_idx(path: str | Path) -> Array:
    """An array from an IDX file, LeCun's format of MNIST; gzip or not.

    Two zero bytes, a type, the number of axes, the sizes as big-endian 32-bit numbers, the data.
    Raises ValueError for anything else, or for a file with more or less data than its sizes say.
    """
    path = Path(path)
    content = read_bytes(path)
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES or not 1 <= content[3] <= 8:
        raise ValueError(f"{path} is not an IDX file: it starts with {content[:4]!r}")
    axes = content[3]
    dtype = np.dtype(_IDX_TYPES[content[2]])
    start = 4 + 4 * axes
    shape = tuple(int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise ValueError(f"{path} should hold {expected} bytes for shape {shape}, it holds {len(content)}")
    return np.frombuffer(content, dtype, offset=start).reshape(shape)


def read_csv(path: Path, columns: int) -> Array:
    """A table of numbers, comma between, gzip or not. Raises ValueError for another number of columns."""
    lines = read_bytes(path).decode("ascii", "replace").splitlines()
    try:
        table = np.loadtxt(lines, delimiter=",", ndmin=2)
    except ValueError as error:
        raise ValueError(f"{path} is not a table of numbers: {error}") from error
    if table.shape[1] != columns:
        raise ValueError(f"{path} should have {columns} columns, it has {table.shape[1]}")
    return table


def read_ts(path: Path) -> tuple[Array, Array]:
    """Series ``(N, channels, length)`` and their class names, from a ``.ts`` file of the UCR/UEA archive.

    Lines starting with # or @ describe; every other is channels between colons, the class last.
    Raises ValueError for a file without series, or of unequal lengths.
    """
    lines = [line.strip() for line in read_bytes(path).decode("utf-8", "replace").splitlines()]
    rows = [line.split(":") for line in lines if line and line[0] not in "#@"]
    if not rows:
        raise ValueError(f"{path} holds no series")
    shapes = {tuple(channel.count(",") for channel in row[:-1]) for row in rows}
    if len(shapes) != 1 or len(set(next(iter(shapes)))) != 1:
        raise ValueError(f"{path} holds series of unequal lengths or numbers of channels")
    try:
        series = [[np.array(channel.split(","), np.float32) for channel in row[:-1]] for row in rows]
    except ValueError as error:
        raise ValueError(f"{path} holds something that is not a number: {error}") from error
    return np.array(series), np.array([row[-1] for row in rows])
