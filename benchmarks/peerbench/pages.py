"""The tables of README.md and docs/performance.md, from a run of peers.py."""

from __future__ import annotations

from problems import DIRECTIONS, parse

from peerbench import report
from peerbench.catalogue import RIVALS
from peerbench.measure import Row
from peerbench.report import Report, format_number, markdown_table
from peerbench.targets import FAMILIES, ratio

# What the README shows of all rows.
CHOSEN = """
resnet50-3x3-56 resnet50-3x3-28 resnet50-3x3-14 resnet50-3x3-7 resnet50-3x3-28-n16 vgg16-224 vgg16-56b unet-valid-284
mnist-conv2-n64 resnet50-1x1-56-up resnet50-1x1-28 resnet50-1x1s2-14 resnet50-3x3s2-56 mobilenet-expand-56
inception-5x5-35 lenet5-c1-n64 lenet5-c3-n64 resnet50-first vgg16-first mobilenet-dw-56 mobilenet-dws2-56 mobilenet-dw-7
convnext-dw7-28 sobel-1024 large-31
""".split()
PEERS = {
    "fastconv": "fastconv",
    "fastconv-packed": "packed",
    "torch": "torch",
    "torch-cl": "torch channels_last",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "ncnn": "ncnn",
    "opencv": "opencv",
    "scipy-fft": "scipy fft",
}
NAMES = dict(zip(DIRECTIONS, ("forward", "input gradient", "weight gradient"), strict=True))
WORST = 20  # rows of a table of the worst
SCALING = 1.85  # on two threads over one, where there is a millisecond of work


def tables(run: Report) -> dict[str, str]:
    """By the name of their marks; those of two threads if the run has them."""
    made = {
        "peers-forward": forward(run),
        "peers-gradients": gradients(run),
        "peers-means": markdown_table(report.MEANS_HEADER, report.means(rows_on(run, 1))),
        "peers-behind": behind(run, 1),
        "peers-aims": aims(run),
    }
    if rows_on(run, 2):
        made |= {
            "peers-threads": family_means(run, 2),
            "peers-threads-behind": behind(run, 2),
            "peers-scaling": scaling(run),
        }
    return made


def rows_on(run: Report, threads: int) -> list[Row]:
    return [row for row in run.rows if row.threads == threads]


def _named(run: Report, direction: str) -> dict[str, Row]:
    return {parse(row.line).name: row for row in run.select(direction, 1)}


def forward(run: Report) -> str:
    """Rates of all libraries."""
    rows = _named(run, "forward")
    body = [
        [name, str(parse(row.line)), *(report.rate(row, peer) for peer in PEERS), format_number(ratio(row, RIVALS))]
        for name in CHOSEN
        if (row := rows.get(name))
    ]
    return markdown_table(["name", "problem", *PEERS.values(), "ratio"], body, left=2)


def gradients(run: Report) -> str:
    """Rates of those that have gradients."""
    peers, body = ("fastconv", "torch", "torch-cl"), []
    by_direction = [_named(run, direction) for direction in DIRECTIONS[1:]]
    for name in CHOSEN:
        cells = [
            cell
            for rows in by_direction
            if (row := rows.get(name))
            for cell in (*(report.rate(row, peer) for peer in peers), format_number(ratio(row, RIVALS)))
        ]
        body += [[name, *cells]] if cells else []
    columns = ["fastconv", "torch", "channels_last", "ratio"]
    head = ["name", *(f"{side}: {c}" if c == "fastconv" else c for side in ("input", "weight") for c in columns)]
    return markdown_table(head, body, left=1)


def family_means(run: Report, threads: int) -> str:
    """Geometric means against the best of the others, a column a direction."""
    at = report.MEANS_HEADER.index("ratio")
    found = {(m[0], m[1]): m[at] for m in report.means(rows_on(run, threads))}
    body = [
        [family, *(found.get((family, direction), "") for direction in DIRECTIONS)]
        for family in (*FAMILIES, "all")
        if (family, "forward") in found
    ]
    return markdown_table(["family", *NAMES.values()], body, left=1)


def behind(run: Report, threads: int) -> str:
    """Rows in which another library is quicker."""
    body = [
        [parse(row.line).family, f"`{parse(row.line).name}`", NAMES[row.direction], format_number(q)]
        for row, q in sorted(_behind(run, threads), key=lambda pair: (parse(pair[0].line).family, pair[1]))
    ]
    return markdown_table(["family", "row", "direction", "ratio"], body, left=3)


def worst(run: Report, threads: int) -> str:
    """As many of the rows in which another library is quickest as a page can bear, and what problems they are."""
    body = [
        [f"`{parse(row.line)}`", NAMES[row.direction], format_number(q)]
        for row, q in sorted(_behind(run, threads), key=lambda pair: pair[1])[:WORST]
    ]
    return markdown_table(["problem", "direction", "ratio"], body, left=2)


def _behind(run: Report, threads: int) -> list[tuple[Row, float]]:
    return [(row, q) for row in rows_on(run, threads) if (q := ratio(row, RIVALS)) is not None and q < 1]


def aims(run: Report) -> str:
    """How the rows of each family stand to its aims."""
    body = [
        [family, NAMES[direction], *counts, _marked(short)]
        for family, direction, _, *counts, short in report.short(rows_on(run, 1))
    ]
    return markdown_table(["family", "direction", *report.SHORT_HEADER[3:]], body)


def _marked(short: str) -> str:
    pairs = (item.rsplit(" ", 1) for item in short.split(", ") if item)
    return ", ".join(f"`{name}` {share}" for name, share in pairs)


def scaling(run: Report) -> str:
    """Rows of a millisecond and more that two threads do not make quick enough."""
    body = [
        [f"`{name}`", NAMES[direction], milliseconds, speed_up]
        for name, direction, milliseconds, speed_up in report.speedups(run)
        if float(speed_up) < SCALING
    ]
    return markdown_table(["row", "direction", "ms on one", "speed-up"], body, left=2)
