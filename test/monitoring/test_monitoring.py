"""Alerts and dashboard as files: whether they are consistent. monitoring_SUITE asks a Prometheus about them."""

import json
import re
import subprocess
import sys
import unittest
from pathlib import Path

import yaml

HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs"
RULES, RULE_TESTS = DOCS / "alerts.yml", HERE / "alerts_test.yml"
DASHBOARD, GENERATOR = DOCS / "grafana" / "event_pusher.json", DOCS / "grafana" / "dashboard.py"


def run(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def alerts():
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule for rule in group["rules"]}


def section(page, heading):
    """The text below a heading of the second level."""
    return (DOCS / page).read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]


class Alerts(unittest.TestCase):
    def test_they_fire_when_they_are_to_and_only_then(self):
        checked = run("promtool", "check", "rules", RULES)
        self.assertEqual(checked.returncode, 0, checked.stdout)
        tested = run("promtool", "test", "rules", RULE_TESTS)
        self.assertEqual(tested.returncode, 0, tested.stdout)

    def test_each_is_made_to_fire_in_the_tests_of_the_rules(self):
        tests = RULE_TESTS.read_text()
        names = set(re.findall(r'alertname(?:=|: )"?(\w+)', tests))
        self.assertEqual(names, set(alerts()))

    def test_each_says_how_bad_it_is_and_where_to_read_on(self):
        for name, rule in alerts().items():
            with self.subTest(name):
                self.assertIn(rule["labels"]["severity"], ["warning", "critical"])
                self.assertEqual(set(rule["annotations"]), {"summary", "description", "runbook"})
                self.assertEqual(rule["annotations"]["runbook"], f"docs/monitoring.md#{name.lower()}")

    def test_each_has_its_part_of_the_page_in_the_same_order(self):
        parts = re.findall(r"^### (.*)$", section("monitoring.md", "What to do"), re.MULTILINE)
        self.assertEqual(parts, list(alerts()))


class Dashboard(unittest.TestCase):
    def setUp(self):
        self.dashboard = json.loads(DASHBOARD.read_text())
        rows = [panel for panel in self.dashboard["panels"] if panel["type"] == "row"]
        self.panels = self.dashboard["panels"] + [panel for row in rows for panel in row["panels"]]

    def test_it_is_what_its_generator_makes(self):
        checked = run(sys.executable, GENERATOR, "--check")
        self.assertEqual(checked.returncode, 0, checked.stdout)

    def test_it_has_nothing_of_an_installation(self):
        self.assertFalse({"id", "uid", "version", "__inputs"} & set(self.dashboard))
        used = re.findall(r'"uid": "([^"]*)"', DASHBOARD.read_text())
        self.assertEqual(set(used), {"${datasource}"})

    def test_panels_have_numbers_and_places_of_their_own(self):
        numbers = [panel["id"] for panel in self.panels]
        self.assertEqual(len(numbers), len(set(numbers)))
        places = [tuple(panel["gridPos"][axis] for axis in "xy") for panel in self.dashboard["panels"]]
        self.assertEqual(len(places), len(set(places)))

    def test_there_is_a_row_for_each_backend_for_the_spool_and_for_rules(self):
        rows = [panel["title"] for panel in self.panels if panel["type"] == "row"]
        self.assertEqual(rows, ["All backends", "SNS", "HTTP", "RabbitMQ", "Push notifications", "Spool", "Rules"])


if __name__ == "__main__":
    unittest.main()
