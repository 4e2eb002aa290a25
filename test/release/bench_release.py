"""Measures MongooseIM's own HTTP module and that of event_pusher in turn, each in a copy of a release that runs.

    python bench_release.py MONGOOSEIM JSON

Both nodes have the same configuration, receivers and events: those of `make bench`, whose modules they load. Round by
round, one is measured after the other. Prints a table, and writes the JSON that docs/benchmarks.md describes.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "receivers"))

from loopback import free_port

from mongooseim import Failed, Release

ROOT = Path(__file__).resolve().parents[2]
OURS, SUITES = ROOT / "_build/host/lib/event_pusher", ROOT / "_build/suites"
RECEIVER = ROOT / "target/release/receiver"
ROUNDS, WORKERS, TICKS = 3, 10, os.sysconf("SC_CLK_TCK")
# How long each receiver takes to answer, for how many calls of one process, and for how many events of several.
DELAYS_MS = {0: (2000, 5000), 20: (200, 1000)}
BYTES = 200
# Percent of the processors: beyond, a run is noisy. As in bench.erl.
MOST_OTHERS, MOST_STEAL = 5, 2
HOOK = [("p50", "p50", 1), ("p99", "p99", 1)]
RATE = [("rate", "per s", 0), ("cpu", "CPU s per 100k", 2)]


class Receiver:
    """The fast receiver of benchmarks: a program that counts what arrives."""

    def __init__(self, delay_ms):
        command = [RECEIVER, "--delay-ms", str(delay_ms)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.url = self.process.stdout.readline().strip()
        self.expected = 0

    def expect(self, messages):
        """Asks for the moment when so many more will have arrived."""
        self.expected += messages
        self.process.stdin.write(f"await {self.expected}\n")
        self.process.stdin.flush()

    def arrived(self):
        if self.process.stdout.readline() != "arrived\n":
            raise Failed("the receiver has ended")
        return time.time()

    def stop(self):
        self.process.stdin.close()
        self.process.wait(10)


def host_type(delay_ms):
    return f"delay{delay_ms}.example"


def configuration(receivers, port):
    """A host type, with an outgoing pool, for each receiver; all of it is known to MongooseIM's own modules."""
    hosts = ", ".join(f'"{host_type(delay)}"' for delay in receivers)
    head = f"""
[general]
  loglevel = "error"
  hosts = [{hosts}]
  default_server_domain = "{host_type(0)}"

[[listen.http]]
  ip_address = "127.0.0.1"
  port = {port}
  [[listen.http.handlers.mongoose_prometheus_handler]]
    host = "_"
    path = "/metrics"

[instrumentation.prometheus]
[auth]
  [auth.internal]
[internal_databases.mnesia]
"""
    pools = "".join(
        f'[outgoing_pools.http.delay{delay}]\n  workers = {WORKERS}\n  [outgoing_pools.http.delay{delay}.connection]\n'
        f'    host = "{receiver.url}"\n    request_timeout = 5000\n'
        for delay, receiver in receivers.items()
    )
    modules = "".join(
        f'[[host_config]]\n  host_type = "{host_type(delay)}"\n'
        f"  [[host_config.modules.mod_event_pusher.http.handlers]]\n"
        f'    pool_name = "delay{delay}"\n    path = "/events"\n'
        for delay in receivers
    )
    return head + pools + modules


class Node:
    """A release that runs, with the modules that push events."""

    def __init__(self, what, original, folder, receivers):
        self.what = what
        self.release = Release(original, folder, free_port())
        self.release.configure(configuration(receivers, free_port()))
        if what == "ours":
            self._add_ours()
        try:
            self.release.boot()
            self.ask(f'{{module, _}} = code:load_abs("{SUITES / "bench_event"}")')
            found = self.ask("code:which(mod_event_pusher_http)")
            if ("event_pusher-bench" in found) != (what == "ours"):
                raise Failed(f"the node for {what} has its modules from {found}")
        except BaseException:
            self.stop()
            raise

    def _add_ours(self):
        shutil.copytree(OURS, self.release.root / "lib" / "event_pusher-bench", symlinks=False)
        arguments = self.release.root / "etc" / "vm.args"
        arguments.write_text("-pa lib/event_pusher-bench/ebin\n" + arguments.read_text())

    def ask(self, expression):
        return self.release.ask(expression)

    def cpu_seconds(self):
        """Of all threads, since its start."""
        pid = (self.release.root / "var" / "pid").read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def hook(self, delay_ms, receiver):
        """Of one process, in microseconds."""
        calls = DELAYS_MS[delay_ms][0]
        warm_up = 10
        receiver.expect(calls + warm_up)
        seen = self.ask(
            f'Hook = bench_event:hook(<<"{host_type(delay_ms)}">>, {BYTES}), '
            f"Times = bench_event:percentiles(bench_event:sample({calls}, Hook)), "
            "[maps:get(p50, Times), maps:get(p99, Times)]"
        )
        receiver.arrived()
        return dict(zip(("p50", "p99"), json.loads(seen)))

    def rate(self, delay_ms, receiver):
        """Of as many processes as there are workers, from the first hook to the last arrival."""
        each = DELAYS_MS[delay_ms][1] // WORKERS
        receiver.expect(each * WORKERS)
        before = self.cpu_seconds()
        began = self.ask(
            "Begin = os:system_time(microsecond), "
            f'Push = fun() -> bench_event:push({each}, bench_event:hook(<<"{host_type(delay_ms)}">>, {BYTES})) end, '
            f"_ = bench_event:in_parallel({WORKERS}, Push), Begin"
        )
        seconds = receiver.arrived() - int(began) / 1e6
        used = self.cpu_seconds() - before
        return {"rate": each * WORKERS / seconds, "cpu": used * 100000 / (each * WORKERS)}

    def stop(self):
        self.release.stop()


def summary(rounds):
    return {"median": statistics.median_low(rounds), "min": min(rounds), "max": max(rounds), "rounds": rounds}


def measured(delay_ms, kind, nodes, receiver, figures):
    """A row: each node in turn, every other round in the opposite order."""
    seen = {node.what: [] for node in nodes}
    for number in range(ROUNDS):
        for node in nodes if number % 2 == 0 else reversed(nodes):
            progress(f"{kind}, {delay_ms} ms, {node.what}, round {number + 1}")
            seen[node.what].append(getattr(node, kind)(delay_ms, receiver))
    of = lambda what, figure: [each[figure] for each in seen[what]]
    main = figures[0][0]
    ratios = [ours / stock for ours, stock in zip(of("ours", main), of("stock", main))]
    return {
        "row": f"HTTP receiver that answers after {delay_ms} ms",
        "measured": [
            {"what": what, "build": "here", "figures": {key: summary(of(what, key)) for key, _, _ in figures}}
            for what in seen
        ],
        "ratios": [
            {"figure": main, "over": {"what": "ours", "build": "here"}, "under": {"what": "stock", "build": "here"}}
            | summary(ratios)
        ],
    }


def case(name, kind, title, figures, nodes, receivers):
    before = machine_ticks()
    rows = [measured(delay, kind, nodes, receiver, figures) for delay, receiver in receivers.items()]
    made = {
        "case": name,
        "title": title,
        "figures": [dict(zip(("figure", "unit", "decimals"), figure)) for figure in figures],
        "meanwhile": steal(before),
        "rows": rows,
    }
    show(made)
    return made


def show(made):
    print(f"\n{made['case']}: {made['title']}")
    for row in made["rows"]:
        for subject in row["measured"]:
            cells = [
                f"{figure['median']:.1f} ({figure['min']:.1f}..{figure['max']:.1f}) {key}"
                for key, figure in subject["figures"].items()
            ]
            print(f"  {row['row']:42} {subject['what']:6} {', '.join(cells)}")
        (ratio,) = row["ratios"]
        print(f"  {'':42} ours / stock: {ratio['median']:.3f} ({ratio['min']:.3f}..{ratio['max']:.3f})", flush=True)


def machine_ticks():
    return [int(ticks) for ticks in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]


def steal(before):
    spent = [now - then for now, then in zip(machine_ticks(), before)]
    return {"others_percent": 0.0, "steal_percent": 100 * spent[7] / max(1, sum(spent))}


def busy_before():
    """What all processes take of the processors while nothing of ours runs."""
    before = machine_ticks()
    time.sleep(2)
    spent = [now - then for now, then in zip(machine_ticks(), before)]
    percent = lambda ticks: 100 * ticks / max(1, sum(spent))
    return {"others_percent": percent(sum(spent[:3])), "steal_percent": percent(spent[7])}


BEGAN = time.monotonic()


def progress(text):
    print(f"bench-release: {time.monotonic() - BEGAN:.0f} s, {text}", file=sys.stderr, flush=True)


def run(original):
    before = busy_before()
    receivers, nodes = {}, []
    with tempfile.TemporaryDirectory(prefix="bench-release-") as folder:
        try:
            receivers = {delay: Receiver(delay) for delay in DELAYS_MS}
            for what in ("stock", "ours"):
                progress(f"starting the node with {what}")
                os.mkdir(f"{folder}/{what}")
                nodes.append(Node(what, original, f"{folder}/{what}", receivers))
            inside = f"MongooseIM {nodes[0].release.version}, its own HTTP module and ours"
            per_second = f"events per second of {WORKERS} callers, from the first hook to the last arrival"
            cases = [
                case("release", "hook", f"{inside}: microseconds of one caller", HOOK, nodes, receivers),
                case("release", "rate", f"{inside}: {per_second}", RATE, nodes, receivers),
            ]
            return before, nodes[0].release.erts, cases
        finally:
            for part in [*nodes, *receivers.values()]:
                part.stop()


def described(before, erts, cases):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    model = [line.split(": ", 1)[1] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line]
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    others, stolen = before["others_percent"], before["steal_percent"]
    noise = f"Before the run, other processes took {others:.1f} % of the processors, and the hypervisor {stolen:.1f} %."
    return {
        "schema": 1,
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": commit.stdout.strip() or "unknown",
        "compared": None,
        "rounds": ROUNDS,
        "events": DELAYS_MS[0][1],
        "seconds": round(time.monotonic() - BEGAN),
        "machine": {
            "processor": (model or ["unknown"])[0],
            "processors": os.cpu_count(),
            "memory_mib": pages >> 20,
            "kernel": platform.release(),
            "otp": f"of the release, erts {erts}",
            "schedulers": os.cpu_count(),
        },
        "load_before": os.getloadavg()[0],
        "before": before,
        "noise": [noise] if others > MOST_OTHERS or stolen > MOST_STEAL else [],
        "cases": cases,
    }


def main():
    try:
        result = described(*run(Path(sys.argv[1]).resolve()))
    except Failed as failure:
        print(f"FAILED  {failure}")
        return 1
    Path(sys.argv[2]).write_text(json.dumps(result, indent=1) + "\n")
    for sentence in result["noise"]:
        print(f"This run is too noisy for its figures to be quoted: {sentence}")
    print(f"The same for programs is in {sys.argv[2]}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
