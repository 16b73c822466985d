"""How a run ended in, a text file for Prometheus out: written at once, with few and bounded labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from usersync.report.files import Summary
from usersync.settings import Metrics

LAST_SUCCESS = "usersync_last_success_timestamp_seconds"


def write_metrics(metrics: Metrics, platform: str, exit_code: int, summary: Summary | None, *, now: datetime) -> None:
    """Write the file that `metrics` names; OSError where that cannot be.

    `platform` is its address; `summary` is None where the run ended in an error.
    """
    from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

    labels = {"job": metrics.job, "platform": urlsplit(platform).hostname or ""}
    registry = CollectorRegistry()

    def gauge(name: str, text: str, values: float | Mapping[str, float], label: str = "") -> None:
        made = Gauge(name, text, [*labels, *filter(None, [label])], registry=registry)
        for key, value in values.items() if isinstance(values, Mapping) else [("", values)]:
            made.labels(**labels, **({label: key} if label else {})).set(value)

    success = now.timestamp() if exit_code == 0 else _last_success(metrics.file, labels)
    if success is not None:
        gauge(LAST_SUCCESS, "End of the last run with exit code 0.", success)
    gauge("usersync_last_run_timestamp_seconds", "End of the last run.", now.timestamp())
    gauge("usersync_exit_code", "Exit code of the last run.", exit_code)
    if summary is not None:
        asked = summary.requests
        rows = {name: n for name, n in summary.counts.items() if name != "rows"}
        gauge("usersync_rows", "Rows of the last run.", rows, "status")
        gauge("usersync_run_seconds", "Length of the last run.", summary.seconds)
        gauge("usersync_requests", "Requests of the last run.", {m: asked[m] for m in ("get", "patch")}, "method")
        gauge("usersync_throttled", "Answers 429 in the last run.", asked["throttled"])
        pace = (asked["get"] + asked["patch"]) / summary.seconds if summary.seconds else 0.0
        gauge("usersync_pace_per_second", "Requests per second over the last run.", pace)
        gauge("usersync_responses", "Answers of the last run.", _classes(summary.responses), "code")
    write_to_textfile(str(metrics.file), registry)


def _classes(codes: Mapping[str, int]) -> Counter[str]:
    """Bound the label: 2xx, 3xx, 4xx, 429, 5xx, and none for requests without an answer."""
    classes: Counter[str] = Counter()
    for code, n in codes.items():
        known = str(code)[:1] in "2345" and str(code)[:3].isdigit()
        classes["429" if str(code) == "429" else f"{str(code)[0]}xx" if known else "none"] += n
    return classes


def _last_success(path: Path, labels: Mapping[str, str]) -> float | None:
    """Read the last success back from the former file; None where there is none."""
    from prometheus_client.parser import text_string_to_metric_families

    try:
        families = list(text_string_to_metric_families(path.read_text("utf-8")))
    except (OSError, ValueError):
        return None
    found = (s.value for f in families for s in f.samples if s.name == LAST_SUCCESS and s.labels == labels)
    return next(found, None)
