"""Write measured tables into README.md and docs/performance.md, between their ``<!-- table: name -->`` marks.

    python benchmarks/peers.py --quick --threads 1 2 --out run
    python benchmarks/peers.py --quick --threads 1 --isa v3 --out run-v3
    python benchmarks/paste_tables.py --peers run/peers.json --avx2 run-v3/peers.json
    python benchmarks/paste_tables.py --table bench fastconv-bench/report.md --table padding padding.md

``--table NAME FILE`` takes the tables of a file, as the other commands print them. A name without marks is an error.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import replace
from pathlib import Path

from peerbench import pages, report

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "performance.md")


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--peers", type=Path, nargs="+", metavar="JSON", help="runs of peers.py: one thread, or also two")
    add("--avx2", type=Path, metavar="JSON", help="a run with --isa v3")
    add("--table", nargs=2, action="append", default=[], metavar=("NAME", "FILE"), help="Markdown, its tables alone")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    tables: dict[str, str] = {}
    if args.peers:
        runs = [report.load(path) for path in args.peers]
        tables |= pages.tables(replace(runs[0], rows=[row for run in runs for row in run.rows]))
    if args.avx2:
        run = report.load(args.avx2)
        tables |= {"avx2": pages.family_means(run, 1), "avx2-behind": pages.behind(run, 1)}
    for name, file in args.table:
        lines = Path(file).read_text(encoding="utf-8").splitlines()
        tables[name] = "".join(f"{line}\n" for line in lines if line.startswith("|"))
    for name, text in tables.items():
        if not any([paste(page, name, text) for page in PAGES]):
            raise SystemExit(f"no page has a table {name!r}")
        print(f"pasted {name}")
    return 0


def paste(page: Path, name: str, text: str) -> bool:
    """Whether the page has the table; then it has the new one, below what is said there about it."""
    old = page.read_text(encoding="utf-8")
    said, table = r"(?:[^|\n].*\n|\n)*", r"(?:\|.*\n)*"
    marks = re.compile(rf"(<!-- table: {re.escape(name)} -->\n{said}){table}(<!-- end: {re.escape(name)} -->)")
    new, found = marks.subn(lambda match: match[1] + text + match[2], old)
    page.write_text(new, encoding="utf-8")
    return found > 0


if __name__ == "__main__":
    raise SystemExit(main())
