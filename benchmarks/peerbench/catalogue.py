"""The peers: which library each belongs to, what its call includes, and how its instruction set is limited."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Library:
    """One process for each thread count. ``v3`` is the environment that limits it to AVX2, None if nothing does."""

    name: str
    adapter: str
    v3: dict[str, str] | None = None
    threads: tuple[str, ...] = ()  # further environment variables that hold the number of threads


@dataclass(frozen=True)
class Peer:
    name: str
    library: Library
    includes: str
    ours: bool = False
    like_for_like: bool = True  # computes the row's own problem, so that its result is checked


ONEDNN_AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
FASTCONV = Library("fastconv", "fastconv", {"FASTCONV_ISA": "v3"})
BASE = Library("fastconv-base", "fastconv", {"FASTCONV_ISA": "v3"})
TORCH = Library("torch", "torch", ONEDNN_AVX2 | {"ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"})
ONNXRUNTIME = Library("onnxruntime", "onnxruntime")
OPENVINO = Library("openvino", "openvino", ONEDNN_AVX2)  # its own copy of oneDNN reads the same variable
NCNN = Library("ncnn", "ncnn")
OPENCV = Library("opencv", "opencv", {"OPENCV_CPU_DISABLE": "AVX512_SKX,AVX512_ICL"}, ("OPENCV_FOR_THREADS_NUM",))
SCIPY = Library("scipy", "scipy", {"NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR"})

PEERS = (
    Peer("fastconv", FASTCONV, "plain call on numpy arrays: fresh output, weights packed in the call", ours=True),
    Peer("fastconv-out", FASTCONV, "plain call with out=: no allocation, no page faults", ours=True),
    Peer("fastconv-packed", FASTCONV, "PackedConv: weights packed before, fresh output", ours=True),
    Peer("fastconv-base", BASE, "plain call of another build, given by --python fastconv-base=PATH", ours=True),
    Peer("fastconv-zeros", FASTCONV, "rows of a padding mode: the same call with zeros", True, False),
    Peer("fastconv-float32", FASTCONV, "rows in float64: the same call in float32", True, False),
    Peer(
        "torch",
        TORCH,
        "torch.nn.functional / aten.convolution_backward on contiguous tensors: fresh output, oneDNN's reorder of the "
        "weights inside; padding modes by F.pad inside the call (its weight gradient has the padded copy at hand)",
    ),
    Peer("torch-cl", TORCH, "the same with input, weights and output in channels_last"),
    Peer("onnxruntime", ONNXRUNTIME, "session.run of one Conv node, numpy in and out, weights packed before"),
    Peer("openvino", OPENVINO, "infer request of one convolution, shared input and output, weights packed before"),
    Peer("ncnn", NCNN, "input copied to a Mat, extractor, output unpacked; weights packed before; one image at a time"),
    Peer("opencv", OPENCV, "filter2D per image and filter (DFT for large ones), zero border, crop as a view"),
    Peer("scipy-fft", SCIPY, "signal.fftconvolve, all planes in one call"),
    Peer("scipy-oa", SCIPY, "signal.oaconvolve, all planes in one call"),
    Peer("scipy-ndimage", SCIPY, "ndimage.correlate per image and filter"),
)


OURS = tuple(p.name for p in PEERS if p.ours)
RIVALS = tuple(p.name for p in PEERS if not p.ours)


def choose(names: list[str] | None, isa: str | None, with_base: bool) -> tuple[list[Peer], dict[str, str]]:
    """Peers whose name or library is among ``names`` (all without names), and the reason for each that is left out.

    An unknown name raises ValueError. With ``isa`` "v3" a peer that cannot be limited to AVX2 is left out.
    """
    known = {p.name for p in PEERS} | {p.library.name for p in PEERS}
    if unknown := sorted(set(names or ()) - known):
        raise ValueError(f"--peers: unknown {', '.join(unknown)}; known are {', '.join(sorted(known))}")
    chosen = [p for p in PEERS if not names or p.name in names or p.library.name in names]
    chosen = [p for p in chosen if p.library is not BASE] + [p for p in PEERS if p.library is BASE and with_base]
    if isa != "v3":
        return chosen, {}
    kept = [p for p in chosen if p.library.v3 is not None]
    return kept, {p.name: "has no switch that limits it to AVX2" for p in chosen if p not in kept}
