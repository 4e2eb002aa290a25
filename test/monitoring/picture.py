"""Draws rows of the dashboard as an SVG, with what a Prometheus has for them.

    python picture.py --url http://127.0.0.1:9090 --begin 1700000000 --end 1700000090 --rows HTTP > dashboard.svg

Grafana draws better; this needs none, and shows the same queries in the same places.
"""

import argparse
import json
import math
import sys
import urllib.parse
import urllib.request
from html import escape
from pathlib import Path

DASHBOARD = Path(__file__).parent.parent.parent / "docs" / "grafana" / "event_pusher.json"
POINTS, WINDOW = 100, "5s"
CLOCK_SECONDS = 15
UNIT_WIDTH, UNIT_HEIGHT, GAP = 44, 24, 5
LEFT, RIGHT, TOP, BOTTOM = 78, 14, 28, 36
COLORS = ["#3274d9", "#e0752d", "#37872d", "#c4162a", "#8f3bb8", "#b58900", "#0a7c86"]
NAMED = {"green": "#73bf69", "blue": "#5794f2", "orange": "#ff9830", "red": "#f2495c", "purple": "#b877d9"}
SCALES = {
    "µs": [(1e6, "s"), (1e3, "ms"), (1, "µs")],
    "ms": [(60e3, "min"), (1e3, "s"), (1, "ms")],
    "bytes": [(2**20, "MiB"), (2**10, "KiB"), (1, "B")],
}
STYLE = """
svg { font: 11px sans-serif } .page { fill: #f4f5f5 } .panel { fill: #fff; stroke: #d8d9da } .row { font-weight: bold }
.title { font-weight: bold; font-size: 12px } .tick { fill: #555; font-size: 10px } .grid { stroke: #e4e5e6 }
polyline { fill: none; stroke-width: 1.4 } text { fill: #222 }
"""


class Times:
    def __init__(self, url, begin, end):
        self.url, self.begin, self.end = url, begin, end
        self.step = (end - begin) / POINTS

    def ask(self, query):
        """Lines: their labels, and pairs of a share of the time and a value."""
        for variable, value in [("$__rate_interval", WINDOW), ("$host_type", ".*"), ("$pool", ".*"), ("$instance", ".*")]:
            query = query.replace(variable, value)
        asked = urllib.parse.urlencode({"query": query, "start": self.begin, "end": self.end, "step": self.step})
        with urllib.request.urlopen(f"{self.url}/api/v1/query_range?{asked}") as answer:
            found = json.load(answer)["data"]["result"]
        for series in found:
            values = [(float(at), float(value)) for at, value in series["values"]]
            yield series["metric"], [((at - self.begin) / (self.end - self.begin), value) for at, value in values if value == value]


def legend(target, labels):
    text = target["legendFormat"]
    for name in ["host_type", "pool_tag"]:
        text = text.replace("{{%s}}" % name, labels.get(name, ""))
    return text


def lines(panel, times):
    return [(legend(target, labels), points) for target in panel["targets"] for labels, points in times.ask(target["expr"])]


def shown(value, scale):
    return f"{number(value / scale[0])} {scale[1]}".strip()


def number(value):
    return f"{value:.1f}".rstrip("0").rstrip(".")


def text(x, y, content, kind, anchor="start"):
    return f'<text x="{number(x)}" y="{number(y)}" class="{kind}" text-anchor="{anchor}">{escape(content)}</text>'


def nice(value):
    """The next higher of 1, 2 and 5, with zeros."""
    power = 10 ** math.floor(math.log10(value))
    return next(factor * power for factor in [1, 2, 5, 10] if factor * power >= value)


def draw_numbers(panel, found, width, height, seconds):
    unit = panel["fieldConfig"]["defaults"]["unit"]
    most = max([value for _, points in found for _, value in points], default=0) or 1
    scale = next((scale for scale in SCALES.get(unit, []) if most >= scale[0]), (1, "/s" if unit == "cps" else ""))
    top = nice(most / scale[0]) * scale[0]
    for share in [0, 0.5, 1]:
        y = number(TOP + (1 - share) * (height - TOP - BOTTOM))
        yield f'<line class="grid" x1="{LEFT}" x2="{number(width - RIGHT)}" y1="{y}" y2="{y}"/>'
        yield text(LEFT - 5, float(y) + 3, shown(share * top, scale), "tick", "end")
    yield from clock(width, height, seconds)
    x = 12
    for place, (name, points) in enumerate(found):
        color = COLORS[place % len(COLORS)]
        for part in unbroken(points):
            dots = " ".join(
                f"{number(LEFT + at * (width - LEFT - RIGHT))},{number(TOP + (1 - value / top) * (height - TOP - BOTTOM))}"
                for at, value in part
            )
            yield f'<polyline points="{dots}" stroke="{color}"/>'
        name = name.split()[-1]
        yield f'<rect x="{number(x)}" y="{height - 12}" width="8" height="3" fill="{color}"/>'
        yield text(x + 10, height - 8, name, "tick")
        x += 18 + 5.8 * len(name)


def unbroken(points):
    """Parts without a gap, where there was nothing."""
    part = []
    for at, value in points:
        if part and at - part[-1][0] > 1.5 / POINTS:
            yield part
            part = []
        part.append((at, value))
    yield part


def draw_states(panel, found, width, height, seconds):
    words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    high = (height - TOP - BOTTOM) / len(found)
    yield from clock(width, height, seconds)
    for place, (name, points) in enumerate(found):
        y = TOP + place * high
        yield text(LEFT - 5, y + high / 2 + 3, name.split()[-1], "tick", "end")
        for begin, end, value in spans(points):
            word = words[str(int(value))]
            x, wide = LEFT + begin * (width - LEFT - RIGHT), (end - begin) * (width - LEFT - RIGHT)
            box = f'x="{number(x)}" y="{number(y + 1)}" width="{number(wide)}" height="{number(high - 2)}"'
            yield f'<rect {box} fill="{NAMED[word["color"]]}"/>'
            if wide > 5.5 * len(word["text"]):
                yield text(x + wide / 2, y + high / 2 + 3, word["text"], "tick", "middle")


def spans(points):
    """Of the same value."""
    begin = 0
    for at in range(1, len(points) + 1):
        if at == len(points) or points[at][1] != points[begin][1]:
            yield points[begin][0], points[min(at, len(points) - 1)][0], points[begin][1]
            begin = at


def clock(width, height, seconds):
    for second in range(0, int(seconds) + 1, CLOCK_SECONDS):
        x = LEFT + second / seconds * (width - LEFT - RIGHT)
        yield text(x, height - BOTTOM + 13, f"{second} s", "tick", "middle")


def draw(panel, times, x, y):
    width, height = panel["gridPos"]["w"] * UNIT_WIDTH - GAP, panel["gridPos"]["h"] * UNIT_HEIGHT - GAP
    found = lines(panel, times)
    yield f'<g transform="translate({x} {y})"><rect class="panel" width="{width}" height="{height}" rx="3"/>'
    yield text(8, 16, panel["title"], "title")
    if found:
        kind = draw_states if panel["type"] == "state-timeline" else draw_numbers
        yield from kind(panel, found, width, height, times.end - times.begin)
    else:
        yield text(width / 2, height / 2, "no data", "tick", "middle")
    yield "</g>"


def picture(wanted, times):
    dashboard = json.loads(DASHBOARD.read_text())
    rows = [panel for panel in dashboard["panels"] if panel["type"] == "row"]
    y, parts = GAP, []
    for row in rows:
        panels = row["panels"] or [panel for panel in dashboard["panels"] if panel["type"] != "row"]
        if row["title"] not in wanted:
            continue
        parts.append(text(8, y + 15, row["title"], "row"))
        first = row["gridPos"]["y"] + 1
        for panel in panels:
            place = panel["gridPos"]
            x = GAP + place["x"] * UNIT_WIDTH
            parts.extend(draw(panel, times, x, y + UNIT_HEIGHT + (place["y"] - first) * UNIT_HEIGHT))
        last = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels)
        y += (1 + last - first) * UNIT_HEIGHT
    width, height = 24 * UNIT_WIDTH + GAP, y + GAP
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
    yield f'<style>{STYLE}</style><rect class="page" width="{width}" height="{height}"/>'
    yield from parts
    yield "</svg>"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="of the Prometheus")
    parser.add_argument("--begin", type=float, required=True, help="in seconds since 1970")
    parser.add_argument("--end", type=float, required=True)
    parser.add_argument("--rows", nargs="+", required=True, help="titles of rows")
    options = parser.parse_args()
    times = Times(options.url, options.begin, options.end)
    sys.stdout.write("\n".join(picture(options.rows, times)) + "\n")


if __name__ == "__main__":
    main()
