"""The table of a run: row by row on standard output, and as Markdown in its place in a file."""

import re
import sys


def number(v):
    if v is None:
        return "-"
    return f"{v:.0f}" if abs(v) >= 100 else f"{v:.1f}" if abs(v) >= 10 else f"{v:.2f}"


def target(row):
    if row.limit is None:
        return ""
    return f"≤ {row.limit:.2f}×" if row.limit_on == "ratio" else f"≤ {number(row.limit)} {row.unit}"


class Table:
    """width: of the title; labels: the columns; ratios: {heading: label}, to the first column."""

    def __init__(self, width, labels, ratios):
        self.labels, self.ratios = labels, ratios
        self.heads = ["", "unit", *labels, *ratios, "target", "", "spread"]
        self.widths = [width, 8] + [8] * len(labels) + [7] * len(ratios) + [14, 5, 7]
        self.rows = []

    def cells(self, row):
        spread = row.spread.get("pmcache")
        ratios = [f"{row.ratios[x]:.2f}×" if x in row.ratios else "" for x in self.ratios.values()]
        return [row.title, row.unit, *(number(row.values.get(x)) for x in self.labels), *ratios, target(row), row.verdict(),
                "" if spread is None else f"±{100 * spread:.0f}%"]

    def line(self, cells):
        print(" ".join(f"{c:<{w}}" if i in (0, 1) else f"{c:>{w}}" for i, (c, w) in enumerate(zip(cells, self.widths))).rstrip())

    def begin(self):
        self.line(self.heads)

    def show(self, row):
        self.rows.append(row)
        self.line(self.cells(row))
        for n in row.notes:
            print("    " + n)
        sys.stdout.flush()

    def markdown(self, rows):
        lines = [self.heads, ["---", "---"] + ["--:"] * (len(self.heads) - 2)] + [self.cells(r) for r in rows]
        lines = [[re.sub("^ +", "… ", cells[0]), *cells[1:]] for cells in lines]
        notes = [f"- {r.title.strip()}: {n}" for r in rows for n in r.notes]
        return "\n".join(["| " + " | ".join(c.strip() for c in cells) + " |" for cells in lines] + ([""] if notes else []) + notes)


def place(text, name):
    """Between the line `<!-- bench NAME -->` and the next `<!-- end -->`."""
    return re.search(rf"(?<=<!-- bench {re.escape(name)} -->\n).*?(?=<!-- end -->)", text, re.S)


def has_place(path, name):
    with open(path) as f:
        return place(f.read(), name) is not None


def put(path, name, text):
    """Into its place, which is there (has_place()); what was in it goes."""
    with open(path) as f:
        old = f.read()
    at = place(old, name)
    with open(path, "w") as f:
        f.write(f"{old[:at.start()]}\n{text}\n\n{old[at.end():]}")
