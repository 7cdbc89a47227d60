"""Command line of fastconv."""


def main() -> int:
    return 0
