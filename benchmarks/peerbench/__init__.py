"""Side-by-side speed of fastconv and other convolution libraries: the engine of ``benchmarks/peers.py``."""
