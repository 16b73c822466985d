"""How a run ended in; people told, metrics written. What fails here is itself told, and changes no exit code."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import wraps
from importlib.util import find_spec
from typing import Any, ParamSpec

from usersync.context import Clock, SystemClock
from usersync.dispatch.dask_engine import scheduler_of
from usersync.errors import SettingsError, UsersyncError
from usersync.ledger import Ledger
from usersync.notifications import PING, Ending, channels, deliver
from usersync.report import Summary, write_summary
from usersync.settings import Settings

Words = ParamSpec("Words")
log = logging.getLogger(__name__)
_VERDICTS = {3: "refused", 4: "stopped", 130: "stopped", 143: "stopped"}


def told(ask: Callable[Words, Summary]) -> Callable[Words, Summary]:
    """Let what asks for a run tell how it ended, also where it ends in an error.

    SettingsError, before anything is done, where an extra or a variable that is needed for it is missing.
    """

    @wraps(ask)
    def whole(*args: Words.args, **kwargs: Words.kwargs) -> Summary:
        given: Any = kwargs["settings"] if "settings" in kwargs else args[1]
        context: Any = kwargs.get("context")
        after = _Afterwards(given, context.clock if context else SystemClock())
        try:
            after.look_back()
            summary = ask(*args, **kwargs)
        except Exception as error:
            after.failed(error)
            raise
        return after.ended(summary)

    return whole


class _Afterwards:
    def __init__(self, settings: Settings, clock: Clock) -> None:
        if settings.metrics and find_spec("prometheus_client") is None:
            raise SettingsError("metrics", ("this needs an extra: pip install 'usersync[metrics]'",))
        if settings.engine == "dask":
            scheduler_of(settings)
        self._settings, self._clock = settings, clock
        self._channels = channels(settings.notify)
        self._was_bad = False

    def look_back(self) -> None:
        """Learn, before the run is in the ledger, how the last finished one ended."""
        notify, path = self._settings.notify, self._settings.ledger
        if self._channels and "recovered" in notify.when and path.exists():
            with Ledger(path) as ledger:
                mine = (head for head in ledger.runs() if head.platform == self._settings.platform.url)
                codes = (head.exit_code for head in mine if head.kind != "update" and head.finished_at)
                self._was_bad = bool(next(codes, 0))

    def failed(self, error: Exception) -> None:
        """Tell of a run that has no summary."""
        ours = isinstance(error, UsersyncError)
        code = error.exit_code if isinstance(error, UsersyncError) else 1
        message = str(error) if ours else f"a defect of usersync: {type(error).__name__}"
        self._tell(Ending(_VERDICTS.get(code, "failed"), code, self._settings.platform.url, error=message))

    def ended(self, summary: Summary) -> Summary:
        """Tell of a run that has a summary; gives it back with a line for everything that failed here."""
        recovered = summary.exit_code == 0 and self._was_bad
        verdict = "recovered" if recovered else summary.status
        notices = self._tell(Ending(verdict, summary.exit_code, self._settings.platform.url, summary))
        if notices:
            summary = replace(summary, notices=notices)
            with suppress(OSError):  # the notices were said on stderr
                write_summary(summary)
        return summary

    def _tell(self, ending: Ending) -> list[str]:
        notices = [] if self._settings.metrics is None else self._measure(ending)
        verdicts = {ending.verdict, ending.summary.status if ending.summary else ""}
        wanted = verdicts & {*self._settings.notify.when}
        use = {name: send for name, send in self._channels.items() if wanted or name == PING}
        notices += deliver(use, ending)
        for notice in notices:
            log.warning("%s", notice)
        return notices

    def _measure(self, ending: Ending) -> list[str]:
        from usersync.report.metrics import write_metrics

        assert self._settings.metrics  # noqa: S101 - asked by the caller
        path = self._settings.metrics.file
        try:
            write_metrics(
                self._settings.metrics, ending.platform, ending.exit_code, ending.summary, now=self._clock.now()
            )
        except OSError as error:
            return [f"metrics: {path}: not written: {error.strerror}; see that its folder is there"]
        return []
