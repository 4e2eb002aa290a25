"""What docs/benchmarks.py writes into the pages: `python -m unittest` in this folder."""

import json
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT, SAMPLE = Path(__file__).parents[2], Path(__file__).with_name("bench.json")
SVG = "{http://www.w3.org/2000/svg}"


class Benchmarks(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.folder / "docs/images").mkdir(parents=True)
        for page in ["README.md", "docs/benchmarks.md"]:
            shutil.copy(ROOT / page, self.folder / page)

    def write(self, *runs):
        """Takes what json.load makes of runs."""
        paths = []
        for number, run in enumerate(runs):
            paths.append(self.folder / f"{number}.json")
            paths[-1].write_text(json.dumps(run))
        command = [sys.executable, "-B", ROOT / "docs/benchmarks.py", "--to", self.folder, *paths]
        return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def sample(self):
        return json.loads(SAMPLE.read_text())

    def page(self, name="docs/benchmarks.md"):
        return (self.folder / name).read_text()

    def test_the_page_gets_each_figure_with_its_spread_and_ratio(self):
        written = self.write(self.sample())
        self.assertEqual(written.returncode, 0, written.stdout)
        for line in [
            "| HTTP slow, 1 caller | hook, abc1234 | 4.2 (4.0 to 5.0) | 12.6 |",
            "| workers 100 | bare reqwest | 20 000 (19 000 to 21 000) | 4.00 |  |",
            "|  | pool, abc1234 | 18 000 (17 000 to 18 500) | 5.00 | 0.90 (0.88 to 0.90) |",
            "|  | pool, def5678 | cannot be measured |  |  |",
            "- a body of 200 bytes, pool, bytes: 0.90 (0.90 to 0.90)",
        ]:
            self.assertIn(line, self.page().splitlines())
        self.assertNotIn("too noisy", self.page().split("## Figures")[1])

    def test_the_readme_gets_three_figures(self):
        self.write(self.sample())
        self.assertIn("| 4.2 µs; 99 of 100 below 13 µs |", self.page("README.md"))
        self.assertIn("| 18 000 events per second, 0.90 (0.88 to 0.90) of a bare loop", self.page("README.md"))
        self.assertIn("| 720 bytes |", self.page("README.md"))

    def test_a_second_run_takes_the_place_of_the_first_and_nothing_else_changes(self):
        self.write(self.sample())
        first = self.page(), self.page("README.md")
        self.write(self.sample())
        self.assertEqual(first, (self.page(), self.page("README.md")))
        outside = lambda text: [part.split("<!-- end of figures")[-1] for part in text.split("<!-- begin of figures")]
        self.assertEqual(outside(self.page()), outside((ROOT / "docs/benchmarks.md").read_text()))

    def test_a_noisy_run_says_so_in_the_page(self):
        run = self.sample() | {"noise": ["Before the run, somebody <else> was busy."]}
        self.write(run)
        self.assertIn("- Before the run, somebody <else> was busy.", self.page())

    def test_further_files_add_their_cases(self):
        further = self.sample()
        further["cases"] = [further["cases"][1] | {"case": "sizes"}]
        self.assertEqual(self.write(self.sample(), further).returncode, 0)
        self.assertIn("### sizes: events per second", self.page())

    def test_the_chart_has_a_bar_for_each_rate_and_a_dot_for_each_hook(self):
        self.write(self.sample())
        chart = ET.parse(self.folder / "docs/images/benchmarks.svg").getroot()
        bars = [float(bar.get("width")) for bar in chart.iter(SVG + "rect")][1:]
        self.assertEqual(len(bars), 2)
        self.assertAlmostEqual(bars[1] / bars[0], 18000 / 20000, places=2)
        self.assertEqual(len(list(chart.iter(SVG + "circle"))), 1)

    def test_what_is_no_run_is_refused_and_nothing_is_written(self):
        before = self.page(), self.page("README.md")
        without_memory = self.sample()
        without_memory["cases"].pop()
        for run, reason in [
            ({"schema": 2}, "is not of schema 1"),
            ([], "is not of schema 1"),
            (without_memory, "no case memory with a body of 200 bytes, pool, which README.md quotes"),
        ]:
            written = self.write(run)
            self.assertEqual(written.returncode, 1)
            self.assertIn(reason, written.stdout)
            self.assertEqual(before, (self.page(), self.page("README.md")))


if __name__ == "__main__":
    unittest.main()
