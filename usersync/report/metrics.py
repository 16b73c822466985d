"""Write the numbers of a run as a text file for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from usersync.report.summary import Summary
from usersync.settings import Metrics

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

_LAST_SUCCESS: Final = "usersync_last_success_timestamp_seconds"


def write_metrics(metrics: Metrics, platform: str, exit_code: int, summary: Summary | None, *, now: datetime) -> None:
    """Write the file that `metrics` names, at once. Raises OSError where that fails.

    `platform` is its address; `summary` is None where the run ended in an error.
    """
    from prometheus_client import CollectorRegistry, write_to_textfile  # an extra

    labels = {"job": metrics.job, "platform": urlsplit(platform).hostname or ""}
    success = now.timestamp() if exit_code == 0 else _read_last_success(metrics.file, labels)
    gauges = _Gauges(CollectorRegistry(), labels)
    if success is not None:
        gauges.add(_LAST_SUCCESS, "End of the last run with exit code 0.", success)
    gauges.add("usersync_last_run_timestamp_seconds", "End of the last run.", now.timestamp())
    gauges.add("usersync_exit_code", "Exit code of the last run.", exit_code)
    if summary is not None:
        _add_summary(gauges, summary)
    write_to_textfile(str(metrics.file), gauges.registry)


class _Gauges:
    """Add gauges to a registry, all with the same labels."""

    def __init__(self, registry: CollectorRegistry, labels: Mapping[str, str]) -> None:
        self.registry = registry
        self._labels = labels

    def add(self, name: str, text: str, value: float) -> None:
        """Add a single number."""
        self.add_group(name, text, {"": value}, None)

    def add_group(self, name: str, text: str, values: Mapping[str, float], label: str | None) -> None:
        """Add a number for each value of `label`."""
        from prometheus_client import Gauge  # an extra

        gauge = Gauge(name, text, [*self._labels, *([label] if label else [])], registry=self.registry)
        for key, value in values.items():
            gauge.labels(**self._labels, **({label: key} if label else {})).set(value)


def _add_summary(gauges: _Gauges, summary: Summary) -> None:
    requests = summary.requests
    sent = {method: requests[method] for method in ("get", "patch")}
    pace = sum(sent.values()) / summary.seconds if summary.seconds else 0.0
    rows = {name: n for name, n in summary.counts.items() if name != "rows"}
    gauges.add_group("usersync_rows", "Rows of the last run.", rows, "status")
    gauges.add("usersync_run_seconds", "Length of the last run.", summary.seconds)
    gauges.add_group("usersync_requests", "Requests of the last run.", sent, "method")
    gauges.add("usersync_throttled", "Responses 429 in the last run.", requests["throttled"])
    gauges.add("usersync_pace_per_second", "Requests per second over the last run.", pace)
    gauges.add_group("usersync_responses", "Responses of the last run.", _classes(summary.responses), "code")


def _classes(responses: Mapping[str, int]) -> Counter[str]:
    """Bound the label: 2xx, 3xx, 4xx, 429, 5xx, and none for requests without a response."""
    classes: Counter[str] = Counter()
    for code, count in responses.items():
        if code == "429":
            classes["429"] += count
        elif code[:3].isdigit() and code[0] in "2345":
            classes[f"{code[0]}xx"] += count
        else:
            classes["none"] += count
    return classes


def _read_last_success(path: Path, labels: Mapping[str, str]) -> float | None:
    """Read the last success from the previous file; None where there is none."""
    from prometheus_client.parser import text_string_to_metric_families  # an extra

    try:
        families = list(text_string_to_metric_families(path.read_text("utf-8")))
    except (OSError, ValueError):
        return None
    samples = (sample for family in families for sample in family.samples)
    return next((s.value for s in samples if s.name == _LAST_SUCCESS and s.labels == labels), None)
