"""Speed of fastconv beside other convolution libraries, forward and backward.

Each library runs in its own process (OpenMP runtimes do not mix), with its thread count and instruction set fixed
before it is loaded. A row is one problem, direction and thread count: all peers prepare it, their results are compared
once, and then they are timed in turn, round after round; blocks of calls that other programs disturbed are left out
where the system tells (Linux does), and the median of the others counts. Run it as

    python benchmarks/peers.py --shapes dense-3x3 --threads 1 --peers fastconv torch ncnn

and find ``peers.json``, ``peers.md``, ``peers.png``, ``families.svg`` and ``ratios.svg`` in the output folder. The
peers are those of ``benchmarks/requirements-peers.txt``; a missing one is reported and skipped.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the probe of the machine starts its own threads

from peerbench import console, report  # noqa: E402
from peerbench.catalogue import PEERS, choose  # noqa: E402
from peerbench.machine import measure_machine  # noqa: E402
from peerbench.measure import Plan, Row, measure_row  # noqa: E402
from peerbench.processes import Workers  # noqa: E402
from problems import DIRECTIONS, parse, read_lines  # noqa: E402
from random_problems import draw  # noqa: E402

SHAPES = Path(__file__).with_name("peers_shapes.txt")


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--shapes", nargs="+", default=["."], help="regular expressions; a row's name or family holds one of them")
    add("--shapes-file", type=Path, default=SHAPES, help="one problem a line (default: %(default)s)")
    add("--random", type=int, metavar="N", help="N convolutions and pools drawn at random instead (random_problems.py)")
    add("--seed", type=int, default=0, help="of --random (default: %(default)s)")
    add("--directions", nargs="+", choices=DIRECTIONS, default=DIRECTIONS)
    add("--threads", nargs="+", type=int, default=[1, 2])
    add("--peers", nargs="+", help="peers or libraries (default: all); fastconv's own variants count as fastconv")
    add("--isa", choices=("v2", "v3", "v4"), help="rung of fastconv; v3 also limits the peers that can be to AVX2")
    add("--rounds", type=int, default=5)
    add("--milliseconds", type=float, default=30.0, help="length of one measurement (default: %(default)s)")
    add("--quick", action="store_true", help="two rounds of 8 ms")
    add("--timeout", type=float, default=120.0, help="seconds after which a silent process is given up")
    add(
        "--python",
        action="append",
        default=[],
        metavar="LIBRARY=PATH",
        help="interpreter for one library; fastconv-base is another build",
    )
    add("--out", type=Path, default=Path("fastconv-bench/peers"))
    add("--list", action="store_true", help="print rows and peers, measure nothing")
    add("--render", type=Path, metavar="JSON", help="write tables and plot of an earlier run again, measure nothing")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    if args.render:
        finish(report.load(args.render), args.out)
        return 0
    drawn = draw(args.random, args.seed) if args.random else read_lines(args.shapes_file)
    lines = [line for line in drawn if wanted(line, args.shapes)]
    if args.list:
        list_all(lines)
        return 0
    pythons = dict(item.split("=", 1) for item in args.python)
    peers, left_out = choose(args.peers, args.isa, "fastconv-base" in pythons)
    if args.quick:
        args.rounds, args.milliseconds = 2, 8.0
    rows = [(line, d) for line in lines for d in parse(line).directions if d in args.directions]
    jobs = [(line, d, t) for line, d in rows for t in args.threads]
    if not jobs:
        sys.exit(f"no row matches --shapes {' '.join(args.shapes)}")
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        print("measuring the machine ...", file=sys.stderr, flush=True)
        machine = measure_machine(args.threads, args.isa, scratch)
        command = shlex.join(["python", "benchmarks/peers.py", *(sys.argv[1:] if argv is None else argv)])
        result = report.Report(command, machine, args.isa or "best", missing=left_out)
        workers = Workers(args.isa, pythons, scratch, args.timeout)
        plan = Plan(peers, args.rounds, args.milliseconds / 1e3, scratch)
        result.versions = workers.versions
        progress = console.Progress(len(jobs))
        try:
            for line, direction, threads in jobs:
                progress.show(f"{parse(line).name} {direction}, {threads} thread{'s' * (threads > 1)}")
                row = measure_row(line, direction, threads, workers, plan, machine)
                result.rows.append(row)
                result.missing = left_out | workers.missing
                result.save(args.out)
                progress.finished(summary(row))
        except KeyboardInterrupt:
            print("\ninterrupted: the rows so far are kept", file=sys.stderr)
        finally:
            workers.close()
    finish(result, args.out)
    return 0


def wanted(line: str, patterns: list[str]) -> bool:
    problem = parse(line)
    return any(re.search(pattern, f"{problem.name} {problem.family}") for pattern in patterns)


def summary(row: Row) -> str:
    names = report.columns([row])
    name, problem, direction, threads, *values = report.cells(row, names)
    labels = report.header(names)[4:]
    rates = "  ".join(f"{label} {value}" for label, value in zip(labels, values, strict=True) if value)
    return f"{name} [{problem}] {direction} {threads}t: {rates}"


def list_all(lines: list[str]) -> None:
    rows = [[p.family, p.name, str(p), f"{p.flops / 1e9:.3g}", f"{p.bytes / 1e6:.3g}"] for p in map(parse, lines)]
    console.print_table("rows", ["family", "name", "problem", "GFLOP", "MB"], rows)
    known = [[p.name, p.library.name, p.includes] for p in PEERS]
    console.print_table("peers", ["peer", "library", "a call includes"], known)


def finish(result: report.Report, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    result.save(folder)
    names = report.columns(result.rows)
    console.print_table("GFLOP/s", report.header(names), [report.cells(row, names) for row in result.rows])
    console.print_table("geometric means", report.MEANS_HEADER, report.means(result.rows))
    for name, reason in result.missing.items():
        print(f"skipped {name}: {reason}")
    try:
        from peerbench.plot import plot, plot_families, plot_ratios
    except ImportError as error:
        print(f"no plot: {error}; pip install 'fastconv[bench]'")
    else:
        plot(result, folder / "peers.png")
        plot_families(result, folder / "families.svg")
        plot_ratios(result, folder / "ratios.svg")
    print(f"written to {folder}/")


if __name__ == "__main__":
    raise SystemExit(main())
