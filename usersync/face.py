"""The library's plan and apply: what is to be sent is looked at in between, and goes from one to the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from usersync import api
from usersync.context import Choice, Confirm, Context
from usersync.models import Files, Outcome
from usersync.planning.plan import Plan
from usersync.report import Summary
from usersync.settings import Settings, load_settings


def plan(
    files: Files,
    settings: Settings | None = None,
    *,
    choice: Choice | None = None,
    context: Context | None = None,
    save_as: Path | None = None,
) -> Plan:
    """Work out what would change, and send nothing but reads; `apply` takes what it gives.

    `files` are files, addresses or DataFrames, one or several. A DataFrame has the columns of a sheet; its index is
    not read. `settings` are those of `load_settings()` unless given. `save_as` writes a file for `usersync apply`.
    Raises UsersyncError where nothing can be planned; its text says what to do.
    """
    settings = settings or load_settings()
    return api.plan(files, settings, choice=choice, context=context, save_as=save_as, keep=True)


def as_planned(_: Plan) -> bool:
    """Send it: whoever applies a plan has looked at it."""
    return True


def apply(
    plan: Plan | str | Path,
    settings: Settings | None = None,
    *,
    confirm: Confirm = as_planned,
    on_outcome: Callable[[Outcome], None] | None = None,
    context: Context | None = None,
) -> Summary:
    """Send exactly a plan, made by `plan` or saved in a file, and account for every row of it.

    `on_outcome` is told each outcome as it is settled; its `key` is the row's position in the input, from 0 on.
    A DataFrame that changed since is refused, as a file is. Raises UsersyncError where nothing was sent.
    """
    kept = plan.kept if isinstance(plan, Plan) else None
    settings = settings or (kept.settings if kept else load_settings())
    context = context or Context()
    if on_outcome:
        context = replace(context, on_outcome=on_outcome)
    return api.apply(plan if isinstance(plan, Plan) else Path(plan), settings, confirm=confirm, context=context)
