#!/usr/bin/python3
"""plot.py: reads what `policy --tsv` prints, writes an SVG: hit ratios by cache size, of requests and of bytes."""

import csv
import math
import sys

WIDTH, HEIGHT = 460, 340
LEFT, RIGHT, TOP, BOTTOM = 48, 24, 34, 44
COLOURS = {"gdsf": "#c2410c", "lfuda": "#1d4ed8", "lru": "#64748b", "sieve": "#15803d"}
DASHES = {"gdsf": "", "lfuda": "", "lru": "5 3", "sieve": "2 2"}


def read(lines):
    """{policy: [(percent of the working set, object hit ratio, byte hit ratio)]}, without the row where everything fits."""
    curves = {}
    for row in csv.DictReader(lines, delimiter="\t"):
        percent = float(row["percent"])
        if percent < 100:
            objects = 100 * int(row["hits"]) / max(1, int(row["requests"]))
            volume = 100 * int(row["hit_bytes"]) / max(1, int(row["bytes"]))
            curves.setdefault(row["policy"], []).append((percent, objects, volume))
    return {name: sorted(points) for name, points in curves.items()}


def text(x, y, words, anchor="middle", size=11, colour="#334155", more=""):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="{colour}"{more}>'
            f"{words}</text>")


def panel(curves, which, title, left):
    sizes = sorted({p[0] for points in curves.values() for p in points})
    low, high = math.log(sizes[0]), math.log(max(sizes[-1], sizes[0] * 1.01))
    inner_w, inner_h = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x_of(percent):
        return left + LEFT + (math.log(percent) - low) / (high - low) * inner_w

    def y_of(ratio):
        return TOP + (100 - ratio) / 100 * inner_h

    out = [text(left + LEFT + inner_w / 2, 20, title, size=13, colour="#0f172a")]
    for ratio in range(0, 101, 20):
        y = y_of(ratio)
        out.append(f'<line x1="{left + LEFT}" y1="{y:.1f}" x2="{left + LEFT + inner_w}" y2="{y:.1f}" stroke="#e2e8f0"/>')
        out.append(text(left + LEFT - 6, y + 4, f"{ratio} %", "end"))
    for size in sizes:
        out.append(text(x_of(size), TOP + inner_h + 16, f"{size:g} %"))
    out.append(text(left + LEFT + inner_w / 2, HEIGHT - 8, "cache size, of the working set"))
    for at, (name, points) in enumerate(curves.items()):
        base = name.rstrip("*")
        colour, dash = COLOURS.get(base, "#000"), DASHES.get(base, "")
        line = " ".join(f"{x_of(p[0]):.1f},{y_of(p[which]):.1f}" for p in points)
        stroke = f'stroke="{colour}" stroke-width="2" stroke-dasharray="{dash}"'
        out.append(f'<polyline points="{line}" fill="none" {stroke}/>')
        key_x, key_y = left + LEFT + inner_w - 76, TOP + inner_h - 14 - 16 * (len(curves) - 1 - at)
        out.append(f'<line x1="{key_x}" y1="{key_y - 4}" x2="{key_x + 24}" y2="{key_y - 4}" {stroke}/>')
        out.append(text(key_x + 30, key_y, name, "start", colour=colour))
    return out


def main():
    curves = read(sys.stdin)
    if not curves:
        sys.exit("plot.py: nothing to draw; give it what `policy --tsv` prints")
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" width="{2 * WIDTH}" '
           f'height="{HEIGHT}" font-family="sans-serif">', f'<rect width="{2 * WIDTH}" height="{HEIGHT}" fill="#fff"/>']
    out += panel(curves, 1, "requests answered from the cache", 0)
    out += panel(curves, 2, "bytes answered from the cache", WIDTH)
    print("\n".join(out + ["</svg>"]))


if __name__ == "__main__":
    main()
