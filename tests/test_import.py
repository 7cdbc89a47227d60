"""Importing fastconv brings numpy and nothing else; what is optional is imported when it is used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import fastconv
from fastconv import _core

LISTED = """
import sys
import numpy, numpy.typing
before = set(sys.modules)
import fastconv
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))
"""


def test_numpy_alone_is_imported(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LISTED], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["fastconv"]


WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None  # an import of it fails
import fastconv
fastconv.torch
"""


def test_torch_is_an_extra(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].endswith("torch is not installed; pip install 'fastconv[torch]'")


def test_type_stub_lists_the_compiled_core() -> None:
    stub = Path(fastconv.__file__).with_name("_core.pyi").read_text(encoding="utf-8")
    for name in vars(_core):
        if not name.startswith("_"):
            assert re.search(rf"^(def |class )?{name}\b", stub, re.MULTILINE), name


def test_a_rung_that_there_is_not_fails_at_import(tmp_path: Path) -> None:
    environment = {**os.environ, "FASTCONV_ISA": "v9"}
    command = [sys.executable, "-c", "import fastconv"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1].startswith("ImportError: FASTCONV_ISA='v9' is not one of this processor's")
