#!/usr/bin/env python3
"""Flame graphs, and a list of the hottest functions, from what "perf script" prints.

    perf script -F comm,pid,period,event,ip,sym,dso | bench/flamegraph.py --title search >search.svg

A frame's width is its part of all samples, its own and those of what it called;
callers are below.  Its colour tells the library.  The SVG stands alone: the
pointer shows a frame's figures, a click widens it to the whole picture and a
click on what is below it goes back.
"""
from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import Iterable, NamedTuple
from xml.sax.saxutils import escape, quoteattr

WIDTH = 1200
MARGIN = 10
ROW = 18
HEAD = 52
CHARACTER = 6.6
# Narrower frames are left out.
LEAST = 0.3
# Library, its colour, its name in the legend; the first that matches.
COLOURS = (
    (re.compile(r"vector\w*\.so"), "#f08c4b", "the extension"),
    (re.compile(r"postgres$"), "#7fb2e5", "PostgreSQL"),
    (re.compile(r"^\[(?!unknown)|\.ko\b|vmlinux"), "#c9b8e8", "kernel"),
    (re.compile(r"\.so\b"), "#9fd3a0", "other libraries"),
    (re.compile(r""), "#cccccc", "unknown"),
)
STACK_LINE = re.compile(r"^\s+([0-9a-f]+) (.+?)(?: \((.*)\))?$")


class Frame(NamedTuple):
    function: str
    library: str


Stack = tuple[Frame, ...]


def collapse(lines: Iterable[str], bottom: str | None = None) -> Counter[Stack]:
    """Stacks, outermost frame first, with the periods of their samples added up.

    A sample is a line with its period, then a line for each frame from the
    innermost, then an empty one.  What called the function bottom is dropped
    from stacks that have it.
    """
    stacks: Counter[Stack] = Counter()
    frames: list[Frame] = []
    period = 0

    def finish() -> None:
        if frames:
            stack = frames[::-1]
            names = [f.function for f in stack]
            if bottom in names:
                stack = stack[names.index(bottom):]
            stacks[tuple(stack)] += period
        frames.clear()

    for line in lines:
        if not line.strip():
            finish()
        elif not line[0].isspace():
            finish()
            # "comm pid [period] event:"; a name may have blanks, so from the right.
            words = line.split()
            period = int(words[-2]) if len(words) > 3 and words[-2].isdigit() else 1
        else:
            match = STACK_LINE.match(line.rstrip("\n"))
            if match:
                address, function, library = match.groups()
                library = (library or "").rsplit("/", 1)[-1]
                function = function.split("+0x", 1)[0]
                if function == "[unknown]":
                    function = f"[{library or address}]" if library != "[unknown]" else "[unknown]"
                frames.append(Frame(function, library))
    finish()
    return stacks


def hottest(stacks: Counter[Stack], count: int = 30) -> list[str]:
    """A table of the functions with most time of their own; with the time of what they called beside it."""
    own: Counter[Frame] = Counter()
    whole: Counter[Frame] = Counter()
    for stack, weight in stacks.items():
        own[stack[-1]] += weight
        for frame in set(stack):
            whole[frame] += weight
    total = sum(stacks.values())
    out = ["  own %  with callees %  function"]
    # Equal ones by name, so that the list is the same each time.
    for frame, weight in sorted(own.items(), key=lambda item: (-item[1], item[0]))[:count]:
        own_part, whole_part = 100 * weight / total, 100 * whole[frame] / total
        out.append(f"{own_part:7.2f}  {whole_part:14.2f}  {frame.function} ({frame.library})")
    return out


@dataclass
class Node:
    """A frame in one place of the tree of calls."""

    frame: Frame
    weight: int = 0
    callees: dict[Frame, Node] = field(default_factory=dict)


def tree(stacks: Counter[Stack], name: str = "all") -> Node:
    root = Node(Frame(name, ""))
    for stack, weight in stacks.items():
        node = root
        node.weight += weight
        for frame in stack:
            node = node.callees.setdefault(frame, Node(frame))
            node.weight += weight
    return root


class Box(NamedTuple):
    """A frame in the picture: left end and width as parts of the whole, and the row from below."""

    frame: Frame
    left: float
    width: float
    row: int


def layout(root: Node, least: float = LEAST / (WIDTH - 2 * MARGIN)) -> list[Box]:
    """Boxes of the tree, callees above their caller in order of name."""
    boxes: list[Box] = []
    todo = [(root, 0, 0)]
    while todo:
        node, before, row = todo.pop()
        if node.weight < least * root.weight:
            continue
        boxes.append(Box(node.frame, before / root.weight, node.weight / root.weight, row))
        for frame in sorted(node.callees):
            todo.append((node.callees[frame], before, row + 1))
            before += node.callees[frame].weight
    return boxes


def colour(frame: Frame) -> str:
    return next(c for pattern, c, _ in COLOURS if pattern.search(frame.library))


def fitted(text: str, width: float) -> str:
    """As much of the text as there is room for."""
    room = int((width - 4) / CHARACTER)
    if room < 3:
        return ""
    return text if len(text) <= room else text[:room - 1] + "…"


# On a click the frame's left end and width become 0 and 1; what does not overlap
# it is hidden.  A frame below it is a caller, and fills its row.
SCRIPT = """
const boxes = [...document.querySelectorAll("g.f")].map(g => ({
  g, rect: g.querySelector("rect"), text: g.querySelector("text"), name: g.dataset.n,
  left: +g.dataset.l, width: +g.dataset.w, row: +g.dataset.r}));
function zoom(to) {
  for (const b of boxes) {
    const left = Math.max(0, (b.left - to.left) / to.width);
    const right = Math.min(1, (b.left + b.width - to.left) / to.width);
    const shown = right - left > 1e-4;
    b.g.style.display = shown ? "" : "none";
    if (!shown) continue;
    const x = MARGIN + left * SPAN, w = (right - left) * SPAN;
    b.rect.setAttribute("x", x);
    b.rect.setAttribute("width", w);
    b.text.setAttribute("x", x + 3);
    const room = Math.floor((w - 4) / CHARACTER);
    b.text.textContent = room < 3 ? "" : b.name.length <= room ? b.name : b.name.slice(0, room - 1) + "…";
    b.g.style.opacity = b.row < to.row ? 0.6 : 1;
  }
}
for (const b of boxes) b.g.addEventListener("click", () => zoom(b));
"""


def svg(stacks: Counter[Stack], title: str) -> str:
    """The picture, as text of an SVG file."""
    if not stacks:
        raise ValueError("no samples")
    boxes = layout(tree(stacks))
    total = sum(stacks.values())
    span = WIDTH - 2 * MARGIN
    rows = max(box.row for box in boxes) + 1
    height = HEAD + rows * ROW + MARGIN
    out = ['<?xml version="1.0" encoding="UTF-8"?>',
           f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
           f'viewBox="0 0 {WIDTH} {height}" font-family="DejaVu Sans Mono, monospace" font-size="11">',
           "<style>.f rect { stroke: #ffffff; stroke-width: 0.4 }</style>",
           '<rect width="100%" height="100%" fill="#ffffff"/>',
           f'<text x="{MARGIN}" y="20" font-size="15">{escape(title)}</text>']
    x = float(MARGIN)
    for _, fill, name in COLOURS:
        out.append(f'<rect x="{x:.1f}" y="30" width="11" height="11" fill="{fill}"/>'
                   f'<text x="{x + 15:.1f}" y="40">{escape(name)}</text>')
        x += 15 + CHARACTER * len(name) + 20
    for frame, left, width, row in boxes:
        x, y, w = MARGIN + left * span, height - MARGIN - (row + 1) * ROW, width * span
        tip = f"{frame.function} ({frame.library}), " if frame.library else f"{frame.function}, "
        out.append(f'<g class="f" data-n={quoteattr(frame.function)} data-l="{left:.7f}" data-w="{width:.7f}" '
                   f'data-r="{row}"><title>{escape(tip)}{100 * width:.2f} % of {total:,}</title>'
                   f'<rect x="{x:.2f}" y="{y}" width="{w:.2f}" height="{ROW - 1}" fill="{colour(frame)}"/>'
                   f'<text x="{x + 3:.2f}" y="{y + 12}">{escape(fitted(frame.function, w))}</text></g>')
    script = SCRIPT.replace("MARGIN", str(MARGIN)).replace("SPAN", str(span)).replace("CHARACTER", str(CHARACTER))
    out += [f"<script><![CDATA[{script}]]></script>", "</svg>", ""]
    return "\n".join(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--title", default="")
    parser.add_argument("--bottom", help="drop what called this function")
    parser.add_argument("--text", action="store_true", help="print the hottest functions instead")
    args = parser.parse_args()
    stacks = collapse(sys.stdin, args.bottom)
    if not stacks:
        raise SystemExit("no samples")
    sys.stdout.write("\n".join(hottest(stacks)) + "\n" if args.text else svg(stacks, args.title))


if __name__ == "__main__":
    main()
