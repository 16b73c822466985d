"""What sending does to the process around it."""

import gc
from pathlib import Path

import pytest

from usersync import api
from usersync.context import Context
from usersync.sandbox import Sandbox, running
from usersync.settings import make_settings


def test_the_garbage_collector_passes_over_the_input_only_while_rows_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frozen: list[int] = []
    (tmp_path / "changes.csv").write_text("id,name\n1,New\n2,New\n")
    with running(Sandbox(users=2)) as box:
        monkeypatch.setenv("TOKEN", box.token)
        settings = make_settings(
            {
                "platform": {"url": box.url, "token_env": "TOKEN"},
                "ledger": str(tmp_path / "usersync.db"),
                "report": {"dir": str(tmp_path / "runs")},
            }
        )
        context = Context(on_result=lambda _: frozen.append(gc.get_freeze_count()))
        summary = api.run(tmp_path / "changes.csv", settings, confirm=lambda _: True, context=context)
    assert summary.counts["updated"] == 2
    assert min(frozen) > 0
    assert gc.get_freeze_count() == 0
