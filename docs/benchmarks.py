#!/usr/bin/env python3
"""Writes what `make bench` has measured into the pages: tables, a chart, and the figures that README.md quotes.

    python3 docs/benchmarks.py [JSON...]            by default _build/bench.json; further ones are of further cases
    python3 docs/benchmarks.py --to FOLDER JSON...  into another folder than that of the repository

The pages have the places for it, between two comments. A run that was noisy says so in the page.
"""

import argparse
import json
import re
import sys
from html import escape
from math import log10
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = 1
PAGE, CHART, README = "docs/benchmarks.md", "docs/images/benchmarks.svg", "README.md"
MARKS = re.compile(r"(<!-- begin of figures[^>]*-->\n).*?(<!-- end of figures -->)", re.DOTALL)

# The chart
BARS, DOTS = ["sns", "http", "rabbit"], "hook"
WIDTH, LEFT, RIGHT, LINE, HEAD = 880, 270, 150, 16, 34
COLORS = {"here": "#8e8e8e", "this": "#3274d9", "that": "#b58900"}
STYLE = """
svg { font: 11px sans-serif } .page { fill: #fff } text { fill: #222 } .head { font-weight: bold; font-size: 12px }
.quiet { fill: #555 } .spread { stroke: #222 } .grid { stroke: #e4e5e6 }
"""


class Unreadable(Exception):
    """A file that has no run in it, or one of another schema."""


def read(path):
    try:
        run = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise Unreadable(f"{path}: {error}") from error
    if not isinstance(run, dict) or run.get("schema") != SCHEMA:
        raise Unreadable(f"{path}: is not of schema {SCHEMA}")
    return run


# Tables


def number(value, decimals):
    return f"{value:,.{decimals}f}".replace(",", " ")


def spread(figure, decimals):
    least, most = number(figure["min"], decimals), number(figure["max"], decimals)
    return f"{number(figure['median'], decimals)} ({least} to {most})"


def name(subject, run):
    builds = {"this": run["commit"], "that": run["compared"]} if run["compared"] else {}
    build = builds.get(subject["build"])
    return subject["what"] + (f", {build}" if build else "")


def to_first(row, subject):
    """The ratio of the main figure to that of the first line of the row."""
    found = [
        ratio
        for ratio in row["ratios"]
        if all(ratio["over"][key] == subject[key] for key in ("what", "build"))
        and ratio["under"]["what"] != subject["what"]
    ]
    return spread(found[0], 2) if found else ""


def table(case, run):
    """Markdown of a case."""
    main, *others = case["figures"]
    has_ratios = any(to_first(row, subject) for row in case["rows"] for subject in row["measured"])
    heads = ["", "", main["unit"], *[figure["unit"] for figure in others], *["to the first"] * has_ratios]
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for row in case["rows"]:
        title = row["row"]
        for subject in row["measured"]:
            cells = [title, name(subject, run), *figures(case, subject)]
            lines.append("| " + " | ".join(cells + [to_first(row, subject)] * has_ratios) + " |")
            title = ""
    return f"### {case['case']}: {case['title']}\n\n" + "\n".join(lines) + "\n" + compared(case)


def figures(case, subject):
    main, *others = case["figures"]
    if "lacks" in subject:
        return ["cannot be measured", *[""] * len(others)]
    measured = subject["figures"]
    cells = [spread(measured[main["figure"]], main["decimals"])]
    for figure in others:
        known = measured.get(figure["figure"])
        cells.append(number(known["median"], figure["decimals"]) if known else "")
    return cells


def compared(case):
    """What this build has of that one, in each figure."""
    lines = [
        f"- {row['row']}, {ratio['over']['what']}, {ratio['figure']}: {spread(ratio, 2)}"
        for row in case["rows"]
        for ratio in row["ratios"]
        if ratio["under"]["build"] == "that" and ratio["over"]["build"] == "this"
    ]
    return "\nThis build divided by that one:\n\n" + "\n".join(lines) + "\n" if lines else ""


def machine(run):
    has = run["machine"]
    before = run["before"]
    return (
        f"Commit {run['commit']}, {run['at'][:10]}: {has['processor']}, {has['processors']} processors, "
        f"{has['memory_mib'] // 1024} GiB of memory, Linux {has['kernel']}, Erlang/OTP {has['otp']} with "
        f"{has['schedulers']} schedulers. {run['events']} events for each measurement, medians of {run['rounds']} "
        f"rounds (least to most); {run['seconds']} seconds in all. Before the run, other processes took "
        f"{before['others_percent']:.1f} % of the processors, the hypervisor {before['steal_percent']:.1f} %.\n"
    )


def noise(run):
    if not run["noise"]:
        return ""
    return "\n**This run is too noisy for its figures to be quoted:**\n\n" + "".join(f"- {it}\n" for it in run["noise"])


def page(runs):
    parts = [machine(run) + noise(run) + "".join("\n" + table(case, run) for case in run["cases"]) for run in runs]
    return "\n![Rates and times](images/benchmarks.svg)\n\n" + "\n".join(parts) + "\n"


# Three figures for README.md


def found(runs, case, row, what):
    """The subject, and its row, of this build or of no build."""
    for run in runs:
        for one in run["cases"]:
            for has in one["rows"]:
                for subject in has["measured"]:
                    if (one["case"], has["row"], subject["what"]) == (case, row, what) and subject["build"] != "that":
                        return subject, has
    raise Unreadable(f"no case {case} with {row}, {what}, which README.md quotes")


def quoted(runs):
    slow, _ = found(runs, "hook", "HTTP slow, 1 caller", "hook")
    pool, row = found(runs, "http", "workers 100", "pool")
    waiting, _ = found(runs, "memory", "a body of 200 bytes", "pool")
    hook, rate = slow["figures"], pool["figures"]
    return (
        "| what | figure |\n|---|---|\n"
        f"| a hook, of its caller, while the HTTP receiver does not answer | {number(hook['p50']['median'], 1)} µs; "
        f"99 of 100 below {number(hook['p99']['median'], 0)} µs |\n"
        f"| an HTTP pool over TLS with 100 workers | {number(rate['rate']['median'], 0)} events per second, "
        f"{to_first(row, pool)} of a bare loop of reqwest |\n"
        f"| an event that waits, with a body of 200 bytes | {number(waiting['figures']['bytes']['median'], 0)} bytes |\n"
    )


# The chart: bars for rates, a line from p50 to p99 for hooks


def chart(runs):
    cases = [(case, run) for run in runs for case in run["cases"]]
    parts, top = [], 10
    for wanted, draw in [(BARS, bars), ([DOTS], times)]:
        for case, run in cases:
            if case["case"] in wanted:
                drawn, height = draw(case, run, top)
                parts += drawn
                top += height
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}">'
        f'<style>{STYLE}</style><rect class="page" width="{WIDTH}" height="{top}"/>' + "".join(parts) + "</svg>\n"
    )


def label(x, y, value, kind="", anchor="start"):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(value)}</text>'


def entries(case, key):
    """A label for each subject that was measured, and what it has."""
    for row in case["rows"]:
        for subject in row["measured"]:
            if key in subject.get("figures", {}):
                yield row["row"], subject


def bars(case, run, top):
    most = max([subject["figures"]["rate"]["max"] for _, subject in entries(case, "rate")], default=1)
    scale = (WIDTH - LEFT - RIGHT) / most
    drawn, y = [label(8, top + 18, f"{case['case']}: {case['title']}", "head")], top + HEAD
    last = None
    for row, subject in entries(case, "rate"):
        rate = subject["figures"]["rate"]
        middle = y + LINE / 2
        if row != last:
            drawn.append(label(8, y + 12, row, "quiet"))
            last = row
        drawn.append(label(LEFT - 6, y + 12, name(subject, run), anchor="end"))
        drawn.append(
            f'<rect x="{LEFT}" y="{y + 2}" width="{rate["median"] * scale:.1f}" height="{LINE - 4}" '
            f'fill="{COLORS[subject["build"]]}"/>'
            f'<line class="spread" x1="{LEFT + rate["min"] * scale:.1f}" y1="{middle}" '
            f'x2="{LEFT + rate["max"] * scale:.1f}" y2="{middle}"/>'
        )
        drawn.append(label(LEFT + rate["max"] * scale + 6, y + 12, number(rate["median"], 0) + " per s"))
        y += LINE
    return drawn, y - top + 8


def times(case, run, top):
    """On a scale of which each step is ten times the one before."""
    listed = list(entries(case, "p99"))
    most = max([subject["figures"]["p99"]["median"] for _, subject in listed], default=10)
    place = lambda micros: LEFT + (WIDTH - LEFT - RIGHT) * log10(max(1, micros)) / max(1, log10(most))
    drawn, y = [label(8, top + 18, f"{case['case']}: {case['title']}, p50 to p99", "head")], top + HEAD
    bottom = y + LINE * len(listed)
    micros = 1
    while place(micros) <= WIDTH - RIGHT + 1:
        drawn.append(f'<line class="grid" x1="{place(micros):.1f}" y1="{y}" x2="{place(micros):.1f}" y2="{bottom}"/>')
        drawn.append(label(place(micros), bottom + 12, f"{micros} µs", "quiet", "middle"))
        micros *= 10
    for row, subject in listed:
        p50, p99 = (subject["figures"][key]["median"] for key in ("p50", "p99"))
        middle, color = y + LINE / 2, COLORS[subject["build"]]
        drawn.append(label(LEFT - 6, y + 12, row, anchor="end"))
        drawn.append(
            f'<line x1="{place(p50):.1f}" y1="{middle}" x2="{place(p99):.1f}" y2="{middle}" stroke="{color}"/>'
            f'<circle cx="{place(p50):.1f}" cy="{middle}" r="3.5" fill="{color}"/>'
        )
        drawn.append(label(place(p99) + 6, y + 12, f"{number(p50, 1)} to {number(p99, 0)} µs"))
        y += LINE
    return drawn, bottom - top + 24


# Writing


def between_marks(text, content, path):
    if not MARKS.search(text):
        raise Unreadable(f"{path}: has no place for figures")
    return MARKS.sub(lambda marks: marks[1] + content + marks[2], text)


def write(runs, root):
    pages = [(PAGE, page(runs)), (README, quoted(runs))]
    texts = [(root / path, between_marks((root / path).read_text(), content, path)) for path, content in pages]
    for path, text in [*texts, (root / CHART, chart(runs))]:
        path.write_text(text)


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--to", type=Path, default=ROOT, metavar="FOLDER")
    parser.add_argument("json", nargs="*", default=[ROOT / "_build" / "bench.json"])
    options = parser.parse_args(arguments)
    try:
        write([read(path) for path in options.json], options.to)
    except Unreadable as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
