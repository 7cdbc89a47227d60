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


# Shapes are drawn anew for every call. What is kept between calls is bounded by the largest of them, so that memory may
# grow while the first ones are seen, and not after.
VARIED_CALLS = """
import json, random
import numpy as np, fastconv as fc

def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4096

draw = random.Random(1)
values = np.ones(1 << 20, np.float32)

def array(dtype, *shape):
    return values[: int(np.prod(shape))].reshape(shape).astype(dtype)

def call():
    dtype = draw.choice([np.float32, np.float64])
    n, ic, oc, k = draw.randint(1, 2), draw.randint(1, 10), draw.randint(1, 10), draw.randint(1, 5)
    h, w = draw.randint(k, 14), draw.randint(k, 14)
    mode = draw.choice(["zeros", "replicate"])
    options = dict(stride=draw.randint(1, 3), padding=draw.randint(0, k - 1), padding_mode=mode)
    x, weight = array(dtype, n, ic, h, w), array(dtype, oc, ic, k, k)
    kind = draw.randrange(5)
    if kind == 0:
        fc.PackedConv2d(weight, **options)(x)
    elif kind == 1:
        fc.max_pool2d_backward(fc.max_pool2d(x, k, padding=k // 2), x, k, padding=k // 2)
    elif kind == 2:
        fc.fold(fc.unfold(x, k), (h, w), k)
    else:
        y = fc.conv2d(x, weight, **options)
        fc.conv2d_backward(y, x, weight, **options)
    try:
        fc.conv2d(x, weight[:, :, :0])
    except ValueError:
        pass

for _ in range(1500):
    call()
sizes = []
for _ in range(10):
    for _ in range(1000):
        call()
    sizes.append(resident())
print(json.dumps(sizes))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's account of resident memory")
def test_memory_stays_flat_over_ten_thousand_calls(tmp_path: Path) -> None:
    command = [sys.executable, "-c", VARIED_CALLS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    sizes = json.loads(done.stdout)
    assert max(sizes) - sizes[0] < MIB, [f"{size / MIB:.2f} MiB" for size in sizes]
