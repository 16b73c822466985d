"""Define what a command asks for, and the run that it begins."""

from __future__ import annotations

import getpass
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from usersync.context import Context, RunOptions, iso
from usersync.diff.limits import check_overrides
from usersync.dispatch.sender import Sender
from usersync.ledger import Ledger, LedgerRun, RunInfo
from usersync.loader.remote import without_secrets
from usersync.models import Json
from usersync.planning.plan import Plan
from usersync.planning.sources import RowSource
from usersync.settings import Settings


@dataclass(frozen=True, slots=True)
class Job:
    """What a command asks for."""

    load: Callable[[Ledger], RowSource]
    """Reads what the rows come from. Raises a UsersyncError where that cannot be used."""
    settings: Settings
    options: RunOptions
    context: Context
    kind: str = "run"
    """What the lock says of the job."""


@dataclass(slots=True)
class RunState:
    """A run that has begun, and what its report needs, however the run ends."""

    ledger: Ledger
    source: RowSource
    run: LedgerRun
    began: float
    """Start on the monotonic clock, in seconds, minus the time already spent waiting for confirmation."""
    sender: Sender | None = None
    """None: the platform was never asked anything."""
    plan: Plan | None = None
    refusal: str = ""
    """Why the plan is not sent."""


def new_run_info(job: Job, kind: str) -> RunInfo:
    """Return the head of a run that begins now. Raises UsageError for an override that names no rule."""
    check_overrides(job.options.overrides, job.settings.limits)
    now = job.context.clock.now()
    return RunInfo(
        run=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        kind=kind,
        platform=job.settings.platform.url,
        started_at=iso(now),
        started_by=current_user(),
        settings=_recorded_settings(job.settings),
        options=job.options.recorded(),
        overrides=job.options.overrides,
    )


def _recorded_settings(settings: Settings) -> dict[str, Json]:
    """Return the settings that decide what a run does, without secrets."""
    found = settings.model_dump(mode="json", exclude={"platform", "ledger", "report", "metrics", "notify"})
    # only types that were set explicitly: see `typed_fields` in diff.compare
    found["fields"] = {name: f.model_dump(mode="json", exclude_unset=True) for name, f in settings.fields.items()}
    found["diff"]["compare_with"] = without_secrets(settings.diff.compare_with)
    return found


def current_user() -> str:
    """Return who runs this, as user@host."""
    name = "unknown"
    with suppress(KeyError, OSError):
        name = getpass.getuser()
    return f"{name}@{socket.gethostname()}"
