#!/usr/bin/env python3
"""Makes event_pusher.json, the dashboard for Grafana, which lies beside this file.

    python3 dashboard.py            writes it
    python3 dashboard.py --check    fails if it is not what this makes

A panel is a line in ROWS: its title, its unit, and what it shows. WHERE stands for the host types, pools and nodes that
are chosen above the dashboard, and for the backend of the row.
"""

import json
import sys
from pathlib import Path

FILE = Path(__file__).with_name("event_pusher.json")
# Of Grafana 12 and 13. Later ones bring it up to date when they import it.
SCHEMA_VERSION = 42
WIDTH, HEIGHT, PANEL_WIDTH = 24, 7, 8
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
CHOSEN = 'host_type=~"$host_type",pool_tag=~"$pool",instance=~"$instance"'
EACH = "host_type, pool_tag"

# The first that holds is shown: the worst, but for a pause, which explains the others.
STATES = [("paused", "purple"), ("refused", "red"), ("degraded", "orange"), ("connecting", "blue"), ("connected", "green")]


# What a panel shows: pairs of a query and what its lines are called.


def level(metric, name="", how="sum"):
    return [(f"{how} by ({EACH}) ({metric}{{WHERE}})", name)]


def per_second(event, *counts, name=None):
    """So many lines as there are counts. One alone needs no name."""
    several = len(counts) > 1
    return [
        (f"sum by ({EACH}) (rate({event}_{count}{{WHERE}}[$__rate_interval]))", name or (count if several else ""))
        for count in counts
    ]


def times(metric):
    rate = f"sum by (le, {EACH}) (rate({metric}_bucket{{WHERE}}[$__rate_interval]))"
    return [(f"histogram_quantile({rank}, {rate})", name) for rank, name in [(0.5, "p50"), (0.99, "p99")]]


def of_host(count, name=""):
    """Per second, of a count that is not of a pool."""
    return (f"sum by (host_type) (rate({count}{{OF_HOST}}[$__rate_interval]))", name)


def status():
    pools = " or ".join(
        f"(event_pusher_status_{state}{{WHERE}} > 0) * 0 + {len(STATES) - place}" for place, (state, _) in enumerate(STATES)
    )
    return [(f"max by ({EACH}) ({pools})", "")]


FATES = ["rejected", "exhausted", "expired", "full", "closed", "purged"]
EVENTS, QUEUE, CONNECTION, SPOOL = (f"event_pusher_{event}" for event in ["events", "queue", "connection", "spool"])


def backend(*more, fates=()):
    """What there is of each pool, and more."""
    return [
        ("Status", "state", status()),
        ("Delivered per second", "cps", per_second(EVENTS, "delivered")),
        ("Dropped per second, by reason", "cps", per_second(EVENTS, *FATES, *fates)),
        ("Waiting events", "short", level(f"{QUEUE}_events")),
        ("Waiting bytes", "bytes", level(f"{QUEUE}_bytes")),
        ("Oldest waiting event", "ms", level(f"{QUEUE}_oldest_ms", how="max")),
        ("In flight", "short", level(f"{QUEUE}_in_flight")),
        ("Retried per second", "cps", per_second(EVENTS, "retried")),
        ("Time from acceptance to delivery", "µs", times(f"{EVENTS}_time")),
        *more,
    ]


ATTEMPTS = ("Time of the attempt that succeeded", "µs", times(f"{EVENTS}_attempt_time"))
CERTIFICATE = ("Days that the certificate is still valid", "d", level("event_pusher_receiver_certificate_days", how="min"))
CIRCUITS = ("Open circuits", "short", level(f"{QUEUE}_open_destinations"))

# Title, type of the pools, panels.
ROWS = [
    (
        "All backends",
        None,
        [
            ("Status", "state", status()),
            ("Delivered per second", "cps", per_second(EVENTS, "delivered")),
            ("Waiting events", "short", level(f"{QUEUE}_events")),
        ],
    ),
    (
        "SNS",
        "sns",
        backend(
            ATTEMPTS,
            CIRCUITS,
            CERTIFICATE,
            (
                "Attributes left out per second",
                "cps",
                [of_host("event_pusher_sns_dropped_attributes_count")],
            ),
        ),
    ),
    ("HTTP", "http", backend(ATTEMPTS, CIRCUITS, CERTIFICATE)),
    (
        "RabbitMQ",
        "rabbit",
        backend(
            ATTEMPTS,
            ("Connection", "short", level(f"{CONNECTION}_up", "up") + level(f"{CONNECTION}_blocked", "blocked")),
            ("Connections per second", "cps", per_second(CONNECTION, "opened", "lost", "failed")),
            ("Nacks per second", "cps", per_second(CONNECTION, "nacks")),
            CERTIFICATE,
            fates=["nacked", "unroutable"],
        ),
    ),
    ("Push notifications", "push", backend(fates=["unanswered"])),
    (
        "Spool",
        None,
        [
            ("Events on disk", "short", level(f"{SPOOL}_events", "all") + level(f"{SPOOL}_ahead", "not in memory")),
            ("Bytes on disk", "bytes", level(f"{SPOOL}_bytes")),
            ("Room taken", "percent", level(f"{SPOOL}_used_percent", how="max")),
            ("Accepts events", "short", level(f"{SPOOL}_accepts", how="min")),
            ("Oldest event on disk", "ms", level(f"{SPOOL}_oldest_ms", how="max")),
            ("Latest write that the disk confirmed", "ms", level(f"{SPOOL}_synced_ms", how="max")),
            ("Not on disk, or not readable, per second", "cps", per_second(SPOOL, "unsaved", "unreadable")),
            ("Found at the start, left at the end, per second", "cps", per_second(SPOOL, "restored", "kept")),
            ("Files set aside", "short", level(f"{SPOOL}_set_aside_files")),
            ("Events of folders that no pool has", "short", level(f"{SPOOL}_orphaned_events", how="max")),
            ("Bytes of folders that no pool has", "bytes", level(f"{SPOOL}_orphaned_bytes", how="max")),
        ],
    ),
    (
        "Rules",
        None,
        [
            (
                "Dropped by rules per second",
                "cps",
                [of_host(f"event_pusher_rules_dropped_{backend}", backend) for backend in ("sns", "http", "rabbit", "push")],
            )
        ],
    ),
]


# The JSON


def target(number, query, name, pool_type):
    only = f'pool_type="{pool_type}",' if pool_type else ""
    of_host = ",".join(part for part in CHOSEN.split(",") if not part.startswith("pool_tag"))
    return {
        "refId": chr(ord("A") + number),
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.replace("WHERE", only + CHOSEN).replace("OF_HOST", of_host),
        "legendFormat": " ".join(["{{host_type}}", *(["{{pool_tag}}"] if EACH in query else []), *filter(None, [name])]),
        "range": True,
    }


def panel(title, unit, queries, pool_type):
    is_state = unit == "state"
    return {
        "type": "state-timeline" if is_state else "timeseries",
        "title": title,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": states() if is_state else numbers(unit), "overrides": []},
        "options": (
            {"mergeValues": True, "showValue": "auto", "legend": {"showLegend": False}}
            if is_state
            else {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi", "sort": "desc"}}
        ),
        "targets": [target(number, *query, pool_type) for number, query in enumerate(queries)],
    }


def numbers(unit):
    return {"unit": unit, "min": 0, "custom": {"fillOpacity": 10, "lineWidth": 1, "showPoints": "never"}}


def states():
    words = {
        str(len(STATES) - place): {"text": state, "color": color, "index": place}
        for place, (state, color) in enumerate(STATES)
    }
    return {"mappings": [{"type": "value", "options": words}], "custom": {"fillOpacity": 70, "lineWidth": 0}}


def rows():
    """The first row is open; of the others, whoever has the backend opens those he wants."""
    y, number = 0, 0
    for place, (title, pool_type, lines) in enumerate(ROWS):
        number += 1
        closed = place > 0
        row = {"id": number, "type": "row", "title": title, "collapsed": closed, "panels": []}
        row["gridPos"] = {"x": 0, "y": y, "w": WIDTH, "h": 1}
        panels = []
        for at, line in enumerate(lines):
            number += 1
            down, across = divmod(at, WIDTH // PANEL_WIDTH)
            position = {"x": across * PANEL_WIDTH, "y": y + 1 + down * HEIGHT, "w": PANEL_WIDTH, "h": HEIGHT}
            panels.append({"id": number, **panel(*line, pool_type), "gridPos": position})
        if closed:
            row["panels"] = panels
            yield row
            y += 1
        else:
            yield row
            yield from panels
            y = panels[-1]["gridPos"]["y"] + HEIGHT


def choice(name, label, query):
    """A choice above the dashboard, by default of all."""
    return {
        "type": "query",
        "name": name,
        "label": label,
        "datasource": DATASOURCE,
        "definition": query,
        "query": {"qryType": 1, "query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def dashboard():
    of = f"{QUEUE}_events"
    within = 'host_type=~"$host_type"'
    return {
        "title": "event_pusher",
        "description": "Events that MongooseIM pushes: what is delivered, what waits, what is dropped and why.",
        "tags": ["mongooseim", "event_pusher"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus"},
                choice("host_type", "Host type", f"label_values({of}, host_type)"),
                choice("pool", "Pool", f"label_values({of}{{{within}}}, pool_tag)"),
                choice("instance", "Node", f"label_values({of}{{{within}}}, instance)"),
            ]
        },
        "annotations": {"list": []},
        "panels": list(rows()),
    }


def main(arguments):
    text = json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"
    if arguments == ["--check"]:
        if FILE.read_text(encoding="utf-8") != text:
            sys.exit(f"{FILE.name} is not what {Path(__file__).name} makes: run python3 {Path(__file__).name}")
    elif arguments:
        sys.exit(__doc__)
    else:
        FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
