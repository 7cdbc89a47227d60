"""The terminal: one progress line while measuring, tables at the end (by rich where it is installed)."""

from __future__ import annotations

import shutil
import sys
from time import monotonic


class Progress:
    """A line that overwrites itself on a terminal; on anything else only finished rows are printed."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.start = total, 0, monotonic()
        self.live = sys.stderr.isatty()

    def show(self, what: str) -> None:
        if self.live:
            left = (monotonic() - self.start) / max(1, self.done) * (self.total - self.done)
            text = f"[{self.done + 1}/{self.total}, about {left / 60:.0f} min left] {what}"
            print("\r" + text[: shutil.get_terminal_size().columns - 1] + "\x1b[K", end="", file=sys.stderr, flush=True)

    def finished(self, line: str) -> None:
        self.done += 1
        if self.live:
            print("\r\x1b[K", end="", file=sys.stderr)
        print(line, flush=True)


def print_table(title: str, head: list[str], body: list[list[str]]) -> None:
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
        print(f"\n{title}")
        for line in (head, *body):
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        return
    table = Table(title=title)
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i < 2 else "right", no_wrap=True)
    for line in body:
        table.add_row(*line)
    width = sum(3 + max(map(len, column)) for column in zip(head, *body, strict=True)) + 1
    Console(width=max(width, Console().width)).print(table)  # a wrapped line is better than a number cut short
