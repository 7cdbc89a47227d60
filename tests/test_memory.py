"""No padded copy, no matrix of patches: what a call takes beyond its arguments is bounded, in every padding mode."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import oracle
import pytest

import fastconv as fc

MIB = 1 << 20
LIMIT = 16 * MIB  # the input alone is 64 MiB

# The peak is the kernel's high-water mark of this process, put back before each call; results go to arrays that are
# already there, and a small call has started the threads.
SCRIPT = """
import json, sys
import numpy as np, fastconv as fc

def resident(name):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(name))

x, y = np.ones((1, 64, 512, 512), np.float32), np.ones((1, 64, 512, 512), np.float32)
w, dw = np.ones((64, 64, 3, 3), np.float32), np.ones((64, 64, 3, 3), np.float32)
calls = {
    "forward": lambda mode: fc.conv2d(x, w, padding=1, padding_mode=mode, out=y),
    "grad_input": lambda mode: fc.conv2d_grad_input(y, w, x.shape, padding=1, padding_mode=mode, out=x),
    "grad_weight": lambda mode: fc.conv2d_grad_weight(y, x, 3, padding=1, padding_mode=mode, out=dw),
}
fc.conv2d(np.ones((4, 32, 32, 32), np.float32), w[:, :32])
peaks = {}
for mode in sys.argv[2:]:
    with open("/proc/self/clear_refs", "w") as reset:
        reset.write("5")
    before = resident("VmRSS")
    calls[sys.argv[1]](mode)
    peaks[mode] = resident("VmHWM") - before
print(json.dumps(peaks))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's account of peak memory")
@pytest.mark.skipif(
    fc.explain((1, 64, 512, 512), (64, 64, 3, 3))["kernel"] == "reference", reason="minutes on the naive loops"
)
@pytest.mark.parametrize("direction", ["forward", "grad_input", "grad_weight"])
def test_peak_memory(direction: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, direction, *oracle.MODES],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    peaks = json.loads(done.stdout)
    assert peaks.keys() == set(oracle.MODES)
    assert max(peaks.values()) < LIMIT, {mode: f"{peak / MIB:.1f} MiB" for mode, peak in peaks.items()}
