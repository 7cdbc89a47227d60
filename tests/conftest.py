"""What all tests share. They run against the installed package with its compiled core, wherever pytest is started."""

from __future__ import annotations

import os
import sys
import zlib
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the oracle's products are tiny: waking threads costs more

import numpy as np  # noqa: E402
import pytest  # noqa: E402

TESTS = Path(__file__).resolve().parent
ROOT = TESTS.parent

# `python -m pytest` puts the checkout first on the path, where the source folder has no compiled core.
sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
sys.path.insert(0, str(TESTS))  # the helpers beside the tests: oracle, cases, arrays

try:
    import fastconv._core  # noqa: F401
except ImportError as error:
    raise pytest.UsageError(f"the tests need fastconv installed: pip install '.[test]' ({error})") from error


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: takes minutes on an emulated processor; leave out with -m 'not slow'")


@pytest.fixture(params=[np.float32, np.float64], ids=["f32", "f64"])
def dtype(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """Random numbers that depend on the test's name alone: a failure comes back when the test is run by itself."""
    return np.random.default_rng(zlib.crc32(request.node.name.encode()))
