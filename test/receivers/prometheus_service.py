"""A real Prometheus on loopback for tests, which scrapes one target and evaluates one file of rules.

    python prometheus_service.py --target 127.0.0.1:9091 --rules alerts.yml

It speaks with its parent as `erlang_port` says. First, when it can be asked:

    {ready, #{url}}.

then one answer per command, in order:

    api PATH [NAME VALUE]... -> Json    what its HTTP API answers to the path below /api/v1/ with these parameters

Nothing of the system's installation is used but its program: what it stores is in a folder of its own, which goes with
it. The kernel ends it with this process, however that ends.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from erlang_port import parent, serve_commands
from erlang_term import Atom, atoms
from loopback import free_port

INTERVAL = "500ms"
POLL_SECONDS = 0.05
STARTS_WITHIN, STOPS_WITHIN, ANSWERS_WITHIN = 60, 30, 30


class Prometheus:
    def __init__(self, target, rules):
        self.folder = Path(tempfile.mkdtemp(prefix="prometheus-"))
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        # JSON is YAML as well.
        configuration = self.folder / "prometheus.yml"
        configuration.write_text(json.dumps(self._configuration(target, rules)))
        self.log = self.folder / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [
                    *["setpriv", "--pdeathsig", "KILL", "prometheus", f"--config.file={configuration}"],
                    *[f"--storage.tsdb.path={self.folder / 'data'}", f"--web.listen-address={address}"],
                    "--log.level=warn",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "GOMAXPROCS": "2"},
            )

    @staticmethod
    def _configuration(target, rules):
        every = {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL}
        job = {"job_name": "mongooseim", "static_configs": [{"targets": [target]}]}
        return {"global": every, "rule_files": [str(Path(rules).resolve())], "scrape_configs": [job]}

    def await_ready(self):
        deadline = time.monotonic() + STARTS_WITHIN
        while not self._is_ready():
            try:
                self.process.wait(POLL_SECONDS)
            except subprocess.TimeoutExpired:
                if time.monotonic() < deadline:
                    continue
            raise RuntimeError(f"Prometheus does not start: {self.log.read_text(errors='replace')[-2000:]}")

    def _is_ready(self):
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=ANSWERS_WITHIN) as answer:
                return answer.status == 200
        except OSError:
            return False

    def api(self, path, parameters):
        query = urllib.parse.urlencode(parameters)
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=ANSWERS_WITHIN) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            # It says what is wrong with a query.
            return error.read()

    def remove(self):
        """Leaves nothing behind."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOPS_WITHIN)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def command(prometheus, words):
    match words:
        case ["api", path, *parameters] if len(parameters) % 2 == 0:
            return prometheus.api(path, list(zip(parameters[::2], parameters[1::2])))
        case _:
            raise ValueError(f"unknown command: {' '.join(words)}")


def arguments():
    parser = argparse.ArgumentParser(description="Prometheus on loopback, for an Erlang port or a shell")
    parser.add_argument("--target", required=True, help="the address that has /metrics")
    parser.add_argument("--rules", required=True, help="a file of rules")
    return parser.parse_args()


def main():
    options, report = arguments(), parent()
    prometheus = Prometheus(options.target, options.rules)
    try:
        prometheus.await_ready()
        report((Atom("ready"), atoms(url=prometheus.url)))
        serve_commands(report, lambda words: command(prometheus, words))
    finally:
        prometheus.remove()


if __name__ == "__main__":
    main()
