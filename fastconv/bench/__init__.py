"""The main job, ``fastconv bench``: convolution against the dense layer that computes the same thing.

``parts`` says what is compared, ``photo`` brings the input, ``toeplitz`` and ``dense`` are the dense side, ``measure``
runs both sides of a problem, ``report`` and ``plots`` show the results, ``job`` ties them together.
"""
