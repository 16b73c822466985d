"""Test that Prometheus reads the metrics of a run."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from usersync.report import Summary
from usersync.report.metrics import write_metrics
from usersync.settings import Metrics

NOW = datetime(2026, 11, 24, tzinfo=UTC)
REQUESTS = {"get": 3, "patch": 1, "retried": 0, "throttled": 2}
SUMMARY = Summary("r", "done", 0, {"updated": 1, "unchanged": 2, "rows": 3}, REQUESTS, 2.0, {})


def read(path: Path) -> dict[str, float]:
    samples = [s for family in text_string_to_metric_families(path.read_text()) for s in family.samples]
    assert all((s.labels.pop("job"), s.labels.pop("platform")) == ("nightly", "chat.example.org") for s in samples)
    return {" ".join([s.name.removeprefix("usersync_"), *s.labels.values()]): s.value for s in samples}


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(exit_code: int, summary: Summary | None, *, days: int = 0) -> dict[str, float]:
        metrics = Metrics(file=tmp_path / "usersync.prom", job="nightly")
        address = "https://chat.example.org:8443/base"
        write_metrics(metrics, address, exit_code, summary, now=NOW + timedelta(days=days))
        assert [p.name for p in tmp_path.iterdir()] == ["usersync.prom"]
        return read(metrics.file)

    return write


def test_metrics_hold_all_numbers_of_a_run(write: Any) -> None:
    assert write(0, SUMMARY) == {
        "last_success_timestamp_seconds": NOW.timestamp(),
        "last_run_timestamp_seconds": NOW.timestamp(),
        "exit_code": 0,
        "rows updated": 1,
        "rows unchanged": 2,
        "run_seconds": 2,
        "requests get": 3,
        "requests patch": 1,
        "throttled": 2,
        "pace_per_second": 2,
    }


def test_the_last_success_is_kept_after_failed_runs_and_dropped_with_a_broken_file(write: Any, tmp_path: Path) -> None:
    assert "last_success_timestamp_seconds" not in write(2, None)
    write(0, SUMMARY)
    write(2, None, days=1)
    found = write(1, replace(SUMMARY, exit_code=1), days=2)
    assert found["last_success_timestamp_seconds"] == NOW.timestamp()
    assert found["last_run_timestamp_seconds"] == (NOW + timedelta(days=2)).timestamp()
    (tmp_path / "usersync.prom").write_bytes(b"\xff{{")
    assert write(2, None)["exit_code"] == 2


def test_responses_are_counted_in_few_classes(write: Any) -> None:
    codes: Any = {"200": 5, "201": 1, "404": 2, "429": 3, "500": 1, "503": 1, "none": 4, "999": 1, "": 1}
    samples = write(0, replace(SUMMARY, responses=codes))
    found = {name.split()[1]: n for name, n in samples.items() if name.startswith("responses")}
    assert found == {"2xx": 6, "4xx": 2, "429": 3, "5xx": 2, "none": 6}
