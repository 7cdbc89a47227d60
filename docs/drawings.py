"""The drawings of how-it-works.md: ``python docs/drawings.py`` writes docs/drawings/*.svg. Needs nothing but Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path

FOLDER = Path(__file__).with_name("drawings")

INK, GREY, LINE = "#222222", "#8a8a8a", "#555555"
INPUT, PADDED, TAP, OUTPUT, MORE = "#cfe3f7", "#f3f3f3", "#fbd9a5", "#cdebc5", "#e7d3f2"

_ARROWHEAD = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    f'<path d="M0 0L8 4L0 8z" fill="{LINE}"/></marker></defs>'
)


class Drawing:
    """Shapes on a white sheet, in pixels from its upper left corner."""

    def __init__(self, title: str, width: int, height: int) -> None:
        self._head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'role="img" font-family="Helvetica, Arial, sans-serif"><title>{escape(title)}</title>{_ARROWHEAD}'
            f'<rect width="{width}" height="{height}" fill="#ffffff"/>'
        )
        self._shapes: list[str] = []

    def text(self, x: float, y: float, words: str, size: int = 13, anchor: str = "start", fill: str = INK) -> None:
        self._shapes.append(
            f'<text x="{x:g}" y="{y:g}" font-size="{size}" text-anchor="{anchor}" fill="{fill}">{escape(words)}</text>'
        )

    def box(self, x: float, y: float, width: float, height: float, fill: str, words: str = "", size: int = 13) -> None:
        self._shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="{fill}" stroke="{LINE}"/>'
        )
        if words:
            self.text(x + width / 2, y + height / 2 + size * 0.36, words, size, "middle")

    def frame(self, x: float, y: float, width: float, height: float, colour: str = "#c0392b") -> None:
        self._shapes.append(
            f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" fill="none" stroke="{colour}" '
            'stroke-width="2.5"/>'
        )

    def arrow(self, x0: float, y0: float, x1: float, y1: float) -> None:
        self._shapes.append(
            f'<line x1="{x0:g}" y1="{y0:g}" x2="{x1:g}" y2="{y1:g}" stroke="{LINE}" stroke-width="1.5" '
            'marker-end="url(#tip)"/>'
        )

    def cells(self, x: float, y: float, side: float, words: Sequence[str], fills: str | Sequence[str]) -> None:
        """A row of square cells."""
        each = [fills] * len(words) if isinstance(fills, str) else fills
        for i, (word, fill) in enumerate(zip(words, each, strict=True)):
            self.box(x + i * side, y, side, side, fill, word)

    def grid(self, x: float, y: float, side: float, rows: int, columns: int, fill: str) -> None:
        for row in range(rows):
            self.cells(x, y + row * side, side, [""] * columns, fill)

    def svg(self) -> str:
        return "\n".join([self._head, *self._shapes, "</svg>\n"])


def index_map() -> Drawing:
    """What each padding mode reads: the endless axis of the row a b c d."""
    d = Drawing("The index map of each padding mode", 640, 262)
    names, side, left = "abcd", 34, 150
    maps: dict[str, Callable[[int], int | None]] = {
        "zeros": lambda q: q if 0 <= q < 4 else None,
        "reflect": lambda q: min(q % 6, 6 - q % 6),
        "replicate": lambda q: min(max(q, 0), 3),
        "circular": lambda q: q % 4,
        "symmetric": lambda q: min(q % 8, 7 - q % 8),
    }
    coordinates = range(-5, 9)
    d.text(left - 14, 26, "q", 14, "end", GREY)
    for i, q in enumerate(coordinates):
        d.text(left + (i + 0.5) * side, 26, str(q), 12, "middle", GREY)
    for row, (mode, source) in enumerate(maps.items()):
        y = 38 + row * 42
        d.text(left - 14, y + 22, mode, 14, "end")
        sources = [source(q) for q in coordinates]
        words = ["0" if s is None else names[s] for s in sources]
        d.cells(left, y, side, words, [INPUT if 0 <= q < 4 else PADDED for q in coordinates])
    d.frame(left + 5 * side, 36, 4 * side, 206)
    d.text(left + 7 * side, 257, "the input", 12, "middle", GREY)
    return d


def packing() -> Drawing:
    """A packed block: every tap a constant offset from the output's position."""
    d = Drawing("Packing: every tap is a constant offset", 760, 300)
    d.text(20, 24, "one channel of the input, 3 x 5,", 13)
    d.text(20, 42, "zero padding 1, kernel 3 x 3", 13)
    side = 30
    values = [[f"{chr(97 + r)}{c}" for c in range(5)] for r in range(3)]
    for r, row in enumerate(values):
        d.cells(20, 60 + r * side, side, row, INPUT)
    d.arrow(185, 105, 232, 105)
    d.text(208, 96, "pack", 12, "middle", GREY)
    d.text(250, 42, "the block: values behind a box of 3 x 5 outputs, 5 rows of 7", 13)
    for r in range(5):
        words = [values[r - 1][c - 1] if 1 <= r <= 3 and 1 <= c <= 5 else "0" for c in range(7)]
        d.cells(250, 60 + r * side, side, words, [INPUT if w != "0" else PADDED for w in words])
    d.frame(250 + side, 60, 3 * side, 3 * side)
    d.text(480, 78, "output (0, 1) has position p = 0 * 7 + 1", 13)
    d.text(480, 98, "tap (i, j) of it is block[p + 7 i + j]:", 13)
    d.text(480, 118, "offsets 0 1 2, 7 8 9, 14 15 16,", 13)
    d.text(480, 138, "the same for every output and mode", 13)
    d.text(480, 168, "the next outputs are the next elements,", 13)
    d.text(480, 188, "so a vector of outputs is one load a tap", 13)
    strip = ["0", "0", "0", "0", "0", "0", "0", "0", "a0", "a1", "a2", "a3", "a4", "0", "0", "b0", "b1", "b2", "b3"]
    d.cells(20, 238, side, strip, [TAP if i in (1, 2, 3, 8, 9, 10, 15, 16, 17) else "#ffffff" for i in range(19)])
    d.text(20, 288, "the same in memory; orange: the nine taps of output (0, 1)", 12, fill=GREY)
    return d


def _tile(
    d: Drawing, left: float, title: str, down: tuple[str, int], across: tuple[str, int], notes: list[str]
) -> None:
    side = 26
    d.text(left, 24, title, 15)
    top = 92
    d.text(left + 60 + across[1] * 2 * side / 2, 48, across[0], 12, "middle", GREY)
    for v in range(across[1]):
        d.box(left + 60 + v * 2 * side, 56, 2 * side, side - 4, INPUT, f"vector {v}", 11)
    for r in range(down[1]):
        d.box(left + 24, top + r * side, side, side, TAP, str(r), 11)
        for v in range(across[1]):
            d.box(left + 60 + v * 2 * side, top + r * side, 2 * side, side, OUTPUT)
    below = top + down[1] * side
    d.text(left + 24, below + 18, down[0], 12, fill=GREY)
    for i, note in enumerate(notes):
        d.text(left, 284 + i * 18, note, 12)


def tiles() -> Drawing:
    """The register tile and the columns tile."""
    d = Drawing("The register tile and the columns tile", 800, 350)
    _tile(
        d,
        20,
        "register tile",
        ("output channels: weights, broadcast", 6),
        ("pixels: vectors of the block", 4),
        [
            "green: sums that stay in registers. For each channel and tap:",
            "load the vectors at their offset, broadcast a weight for each",
            "row, multiply and add. Good for wide images.",
        ],
    )
    _tile(
        d,
        420,
        "columns tile",
        ("pixels: values of the block, broadcast", 6),
        ("output channels: vectors of packed weights", 4),
        [
            "the roles swapped: weights are the vectors, and they are",
            "aligned whatever the tap. The width of the image wastes",
            "nothing. Pays where sums are deep: many channels.",
        ],
    )
    return d


def pieces() -> Drawing:
    """The input gradient of stride 2, kernel 3, reflect padding 1."""
    d = Drawing("The pieces of an input gradient", 760, 340)
    side, left = 36, 150
    d.text(20, 26, "kernel 3, stride 2, padding 1, eight inputs: y[o] reads x[2o - 1], x[2o], x[2o + 1]", 13)
    d.text(left - 14, 76, "dy", 14, "end")
    for o in range(4):
        d.box(left + (2 * o) * side, 54, side, side, OUTPUT, f"{o}")
    d.text(left - 14, 176, "dx", 14, "end")
    d.cells(left, 154, side, [str(i) for i in range(8)], [INPUT if i % 2 == 0 else TAP for i in range(8)])
    for o in range(4):
        centre = left + (2 * o + 0.5) * side
        for tap in (0, 1, 2):
            i = 2 * o + tap - 1
            if i >= 0:
                d.arrow(centre, 91, left + (i + 0.5) * side, 152)
    rows = [
        (INPUT, "even inputs: tap 1 of one output, dx[2m] = w1 dy[m]"),
        (TAP, "odd inputs: taps 2 and 0 of two, dx[2m + 1] = w2 dy[m] + w0 dy[m + 1]"),
        (MORE, "what the padding mode adds near the ends: with reflect, y[0] reads x[1] as x[-1],"),
    ]
    for i, (fill, words) in enumerate(rows):
        d.box(left, 222 + i * 34, 20, 20, fill)
        d.text(left + 30, 237 + i * 34, words, 13)
    d.text(left + 30, 323, "so that dx[1] += w0 dy[0]", 13)
    d.text(left - 14, 237, "pieces", 13, "end", GREY)
    return d


def winograd() -> Drawing:
    """F(4x4, 3x3): 36 products a tile and pair of channels instead of 144."""
    d = Drawing("Winograd's F(4x4, 3x3)", 780, 250)
    side, mid = 20, 118
    d.grid(20, mid - 3 * side, side, 6, 6, INPUT)
    d.text(80, 42, "6 x 6 of the input", 13, "middle")
    d.arrow(146, mid, 206, mid)
    d.text(176, mid - 8, "B' x B", 13, "middle")
    d.grid(214, mid - 3 * side, side, 6, 6, MORE)
    d.text(274, 42, "36 values", 13, "middle")
    d.text(354, mid + 8, "*", 26, "middle")
    d.grid(372, mid - 3 * side, side, 6, 6, TAP)
    d.text(432, 42, "3 x 3 weights: G w G'", 13, "middle")
    d.arrow(500, mid, 586, mid)
    d.text(543, mid - 24, "sum over", 12, "middle", GREY)
    d.text(543, mid - 8, "channels", 12, "middle", GREY)
    d.text(543, mid + 20, "A' m A", 13, "middle")
    d.grid(594, mid - 2 * side, side, 4, 4, OUTPUT)
    d.text(634, 62, "4 x 4 outputs", 13, "middle")
    d.text(
        20, 214, "A vector holds one entry for many channels; the sums over the channels are 36 matrix products.", 13
    )
    d.text(
        20, 234, "Tiles overlap by two pixels. The direct method takes 16 x 9 = 144 products where this takes 36.", 13
    )
    return d


def fourier() -> Drawing:
    """Overlap-save: tiles of outputs, two real tiles as one complex one."""
    d = Drawing("Fourier transforms of tiles", 780, 280)
    side = 22
    d.text(20, 26, "a row of the input; each tile reads its outputs and the kernel's reach", 13)
    d.cells(20, 40, side, [""] * 32, INPUT)
    for i, colour in enumerate(("#c0392b", "#2471a3", "#1e8449", "#7d3c98")):
        d.frame(21 + i * 7 * side, 68 + 18 * (i % 2), 11 * side - 2, 12, colour)
    d.text(
        20,
        128,
        "overlap-save: of a transform of 11 points with a kernel of 5 taps, 7 outputs are right and are kept",
        13,
    )
    for i in range(4):
        d.cells(20 + i * 7 * side, 140, side, [""] * 7, OUTPUT if i % 2 == 0 else MORE)
    d.text(20, 186, "outputs of four tiles", 12, fill=GREY)
    steps = ["tile 1 + i tile 2", "F", "times conj F(w), sum over channels", "inverse F", "tile 1, tile 2"]
    x = 20.0
    for i, step in enumerate(steps):
        width = 22 + 7 * len(step)
        d.box(x, 212, width, 34, (INPUT, "#ffffff", TAP, "#ffffff", OUTPUT)[i], step, 12)
        if i < len(steps) - 1:
            d.arrow(x + width, 229, x + width + 24, 229)
        x += width + 26
    return d


def dispatch() -> Drawing:
    """The way of a call."""
    d = Drawing("The way of a call", 780, 400)
    d.box(20, 20, 220, 40, INPUT, "fc.conv2d: names, defaults")
    d.box(20, 90, 220, 40, INPUT, "bindings: checks, views")
    d.box(20, 160, 220, 40, TAP, "tiny? plain loops, same bits")
    d.box(20, 230, 220, 40, TAP, "cut the axes into pieces")
    d.box(20, 330, 220, 50, OUTPUT, "kernels: v2 v3 v4 neon")
    for y in (60, 130, 200):
        d.arrow(130, y, 130, y + 28)
    d.text(300, 180, "for each piece, the first that applies and pays:", 13)
    choices = [
        ("Winograd", "3x3 in a row,", "many channels"),
        ("Fourier", "49 taps and more,", "by cost"),
        ("depthwise", "few channels", "a group"),
        ("packed direct", "everything: register or", "columns tile, by cost"),
    ]
    for i, (name, *notes) in enumerate(choices):
        x = 300 + i * 120
        d.box(x, 230, 104, 40, MORE, name)
        for j, note in enumerate(notes):
            d.text(x + 52, 290 + 16 * j, note, 11, "middle", GREY)
        if i:
            d.arrow(x - 16, 250, x - 2, 250)
    d.arrow(240, 250, 298, 250)
    d.arrow(298, 355, 242, 355)
    d.box(300, 335, 460, 40, "#ffffff", "blocks are tasks for the threads: a task owns its outputs")
    return d


DRAWINGS: dict[str, Callable[[], Drawing]] = {
    "index-map": index_map,
    "packing": packing,
    "tiles": tiles,
    "pieces": pieces,
    "winograd": winograd,
    "fourier": fourier,
    "dispatch": dispatch,
}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, draw in DRAWINGS.items():
        (FOLDER / f"{name}.svg").write_text(draw().svg(), encoding="utf-8")


if __name__ == "__main__":
    main()
