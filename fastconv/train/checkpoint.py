"""Models and whole runs on disk, as safetensors: arrays by name and a little text, nothing that can run code."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.extras import require
from fastconv.nn.module import Array, Module


def _safetensors() -> Any:
    require("train", "safetensors.numpy")
    return import_module("safetensors")


def write(path: str | Path, arrays: Mapping[str, Array], text: Mapping[str, str]) -> None:
    """Write a file that is either the old or the new one, whenever the power goes: beside it, then renamed over it."""
    path = Path(path)
    content = _safetensors().numpy.save({k: np.asarray(v, order="C") for k, v in arrays.items()}, dict(text))
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def read(path: str | Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays and text of a file. Raises ValueError if it is not one, or cut short."""
    safetensors = _safetensors()
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is not a whole safetensors file: {error}") from error


def save(model: Module, path: str | Path) -> None:
    """Write the model's parameters and buffers."""
    write(path, model.state_dict(), {"format": "fastconv model"})


def load(model: Module, path: str | Path) -> None:
    """Read what :func:`save` wrote into a model of the same layers. Raises ValueError if it does not fit."""
    model.load_state_dict(read(path)[0])


def _with_prefix(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def _without_prefix(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def save_run(path: str | Path, parts: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Write a run: ``parts`` are things with a ``state_dict``, ``record`` is anything JSON can hold."""
    arrays: dict[str, Array] = {}
    for name, part in parts.items():
        arrays |= _with_prefix(f"{name}/", part.state_dict())
    write(path, arrays, {"format": "fastconv run", "record": json.dumps(record)})


def load_run(path: str | Path, parts: Mapping[str, Any]) -> dict[str, Any]:
    """Read what :func:`save_run` wrote into the same parts; returns the record."""
    arrays, text = read(path)
    if text.get("format") != "fastconv run":
        raise ValueError(f"{path} does not hold a run: its format is {text.get('format')!r}")
    for name, part in parts.items():
        part.load_state_dict(_without_prefix(f"{name}/", arrays))
    record: dict[str, Any] = json.loads(text["record"])
    return record
