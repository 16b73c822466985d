"""Make the head of a new run."""

from __future__ import annotations

import getpass
import secrets
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from usersync.context import Clock, RunOptions, iso
from usersync.diff.limits import check_overrides
from usersync.ledger import RunInfo
from usersync.loader.remote import without_secrets

if TYPE_CHECKING:
    from usersync.models import Json
    from usersync.settings import Settings


def new_run_info(kind: str, settings: Settings, options: RunOptions, clock: Clock) -> RunInfo:
    """Return the RunInfo of a run that begins now. Raises UsageError for an override that names no rule."""
    check_overrides(options.overrides, settings.limits)
    now = clock.now()
    return RunInfo(
        run=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        kind=kind,
        platform=settings.platform.url,
        started_at=iso(now),
        started_by=current_user(),
        settings=recorded_settings(settings),
        options=options.recorded(),
        overrides=options.overrides,
    )


def recorded_settings(settings: Settings) -> dict[str, Json]:
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
