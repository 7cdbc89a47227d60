"""Write measured tables into README.md and docs/performance.md, between their ``<!-- table: name -->`` marks.

    python benchmarks/peers.py --quick --threads 1 2 --out run
    python benchmarks/peers.py --quick --threads 1 --isa v3 --out run-v3
    python benchmarks/paste_tables.py --peers run/peers.json --avx2 run-v3/peers.json
    python benchmarks/paste_tables.py --table bench fastconv-bench/report.md --table padding padding.md

``--table NAME FILE`` takes a table that another command printed: of several in a file the one with the columns that the
page has, else the first. A name without marks is an error.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

from peerbench import pages, report

ROOT = Path(__file__).parents[1]
TABLE = r"(?:^\|.*\n)*"
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--peers", type=Path, nargs="+", metavar="JSON", help="runs of peers.py: one thread, or also two")
    add("--avx2", type=Path, metavar="JSON", help="a run with --isa v3")
    add("--networks", type=Path, metavar="JSON", help="a run with --shapes-file benchmarks/networks_shapes.txt")
    add("--random", type=Path, metavar="JSON", help="a run with --random")
    add("--table", nargs=2, action="append", default=[], metavar=("NAME", "FILE"), help="Markdown")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    tables: dict[str, str] = {}
    if args.peers:
        runs = [report.load(path) for path in args.peers]
        tables |= pages.tables(replace(runs[0], rows=[row for run in runs for row in run.rows]))
    for name, path in (("avx2", args.avx2), ("networks", args.networks)):
        if path:
            run = report.load(path)
            tables |= {name: pages.family_means(run, 1), f"{name}-behind": pages.behind(run, 1)}
    if args.random:
        run = report.load(args.random)
        tables |= {"random": pages.family_means(run, 1), "random-worst": pages.worst(run, 1)}
    for name, file in args.table:
        tables[name] = Path(file).read_text(encoding="utf-8")
    for name, text in tables.items():
        if not any([paste(page, name, text) for page in PAGES]):
            raise SystemExit(f"no page has a table {name!r}")
        print(f"pasted {name}")
    return 0


def paste(page: Path, name: str, printed: str) -> bool:
    """Whether the page has the table; then it has the new one, below what is said there about it."""
    old = page.read_text(encoding="utf-8")
    said = r"(?:[^|\n].*\n|\n)*"
    marks = re.compile(
        rf"(<!-- table: {re.escape(name)} -->\n{said})({TABLE})(<!-- end: {re.escape(name)} -->)", re.MULTILINE
    )
    new, found = marks.subn(lambda match: match[1] + table_like(match[2], printed) + match[3], old)
    page.write_text(new, encoding="utf-8")
    return found > 0


def table_like(old: str, printed: str) -> str:
    """The printed table with the columns of the old one, else the first."""
    found = [match[0] for match in re.finditer(TABLE, printed, re.MULTILINE) if match[0]]
    return next((table for table in found if table.splitlines()[:1] == old.splitlines()[:1]), found[0])


if __name__ == "__main__":
    raise SystemExit(main())
