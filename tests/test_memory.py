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


# An input that ends with a page, behind which nothing may be read.
BORDER = """
import ctypes, mmap
import numpy as np, fastconv as fc

libc = ctypes.CDLL(None, use_errno=True)
libc.mprotect.argtypes = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
memory = mmap.mmap(-1, 129 * mmap.PAGESIZE)
end = 128 * mmap.PAGESIZE
address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
assert libc.mprotect(address + end, mmap.PAGESIZE, 0) == 0

def at_the_border(values):
    there = np.frombuffer(memory, np.uint8)[end - values.nbytes : end].view(values.dtype).reshape(values.shape)
    there[...] = values
    return there

random = np.random.default_rng(0)
def draw(*shape):
    return random.integers(-3, 4, shape).astype(dtype)

for dtype in np.float32, np.float64:
    for shape in (1, 3, 7, 7), (1, 16, 14, 14), (2, 5, 8, 6), (3, 1, 16, 16), (1, 4, 56, 56), (1, 9, 5, 48):
        for rows in 1, 2, 5, 40:
            x, w = draw(*shape), draw(rows, shape[1], 1, 1)
            wide = np.zeros((shape[0], rows, shape[2], shape[3] + 3), dtype)
            expected = np.einsum("nchw,oc->nohw", x, w[:, :, 0, 0])
            dw = np.einsum("nohw,nchw->oc", expected, x)
            x = at_the_border(x)
            for out in None, wide[..., 3:]:
                assert (fc.conv2d(x, w, out=out) == expected).all()
            assert (fc.conv2d_grad_input(x, w.transpose(1, 0, 2, 3), expected.shape) == expected).all()
            assert (fc.conv2d_grad_weight(expected, x, 1)[:, :, 0, 0] == dw).all()
    for height, width in (4, 4), (5, 7), (18, 6), (3, 49), (2, 35):
        for stride in 1, 2, 3, 4:
            x, w = draw(2, 64, height, width), draw(5, 64, 1, 2)
            expected = fc.conv2d(x, w, stride=stride, algorithm="reference")
            assert (fc.conv2d(at_the_border(x), w, stride=stride) == expected).all()
    for height, width in (5, 7), (8, 16), (20, 12):
        dy, w, shape = draw(2, 18, height, width), draw(18, 3, 5, 5), (2, 3, 2 * height + 3, 2 * width + 3)
        expected = fc.conv2d_grad_input(dy, w, shape, stride=2, algorithm="reference")
        assert (fc.conv2d_grad_input(at_the_border(dy), w, shape, stride=2) == expected).all()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs mprotect")
def test_nothing_is_read_behind_an_input(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", BORDER], cwd=tmp_path, check=True, timeout=600)


# Large results are kept for the next ones, which find their pages there; 128 MB at most.
LARGE = """
import json, resource
import numpy as np, fastconv as fc

x = np.broadcast_to(np.float32(3), (1, 1, 1024, 9000))
w = np.full((1, 1, 1, 1), 2, np.float32)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def large(height):
    y = fc.conv2d(x[:, :, :height], w)
    assert y.flags.writeable and (y[0, 0, :: height - 1] == 6).all()
    y[...] = 7
    return y

new = []
for _ in range(4):
    before = faults()
    large(1000)
    new.append(faults() - before)
several = [large(1024 - i) for i in range(10)]
assert all(y[0, 0, -1, -1] == 7 for y in several)  # each in memory of its own
del several
with open("/proc/self/status") as status:
    resident = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmRSS"))
print(json.dumps([new, resident]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says what it may take back")
def test_large_results_are_kept(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LARGE], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    faults, resident = json.loads(done.stdout)
    assert min(faults[1:]) < 20, faults  # they would be a hundred with huge pages, and thousands without
    assert resident < (128 + 128) * MIB, resident / MIB
