"""Find an earlier run, and read again what its rows came from."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from usersync.context import RunOptions
from usersync.errors import RefusedError, UsageError
from usersync.ledger import Ledger, LedgerRun, RunInfo
from usersync.loader.dataframe import FRAME
from usersync.models import Row
from usersync.planning.input import Input, read_input
from usersync.planning.matching import index_of_rows
from usersync.settings import Settings, make_settings
from usersync.tables import Files


def find_run(ledger: Ledger, name: str, settings: Settings) -> LedgerRun:
    """Find a run of this platform in the ledger. Raises UsageError, or RefusedError for another platform."""
    run = known_run(ledger, name, settings)
    require_platform(run.info, settings, f"run {name}")
    return run


def known_run(ledger: Ledger, name: str, settings: Settings) -> LedgerRun:
    """Find a run of any platform in the ledger. Raises UsageError, which names the run whose folder `name` is in."""
    run = ledger.find(name)
    if run is None:
        meant = next(filter(ledger.find, Path(name).parts), "")
        hint = f"did you mean {meant}?" if meant else "`usersync runs` lists all runs"
        raise UsageError(f"no run {name} in {settings.ledger}; {hint}")
    run.require_json()
    return run


def require_platform(info: RunInfo, settings: Settings, what: str) -> None:
    """Raise RefusedError where a run or plan is for another platform."""
    if info.platform != settings.platform.url:
        raise RefusedError(f"stale: {what} is for {info.platform}, not {settings.platform.url}")


def read_again(info: RunInfo, settings: Settings, rows: Iterable[Row], *, files: Files | None = None) -> Input:
    """Read the sources of an earlier run, or the same as given in `files`, with the settings of that run.

    `rows` are those of that run: rows without ids are those of the same users again, whatever addresses they have by
    now. Raises RefusedError where a source has changed since.
    """
    for name, what in (("-", "standard input"), (FRAME, "a DataFrame")):
        if files is None and name in info.files:
            raise RefusedError(f"stale: the rows came from {what}, which cannot be read again")
    then = {name: info.settings[name] for name in ("source", "columns", "fields")}
    platform = settings.platform.model_dump(exclude_none=True)
    given = read_input(
        files if files is not None else info.files,
        make_settings({"platform": platform, **then}, f"run {info.run}"),
        _options_of(info),
    )
    is_plan = info.kind == "plan"
    remedy = "plan again" if is_plan else f"run it as it is, or restore it and run `usersync resume {info.run}`"
    recorded = (source.recorded() for source in given.table.sources)
    for source, known in zip(recorded, info.sources, strict=True):
        if source["sha256"] != known["sha256"]:
            raise RefusedError(f"stale: {source['file']} has changed since run {info.run}; {remedy}")
        if source.get("base") != known.get("base"):
            raise RefusedError(
                f"stale: what {source['file']} held when it was exported (its base) is not the one of run {info.run}; "
                f"{remedy}"
            )
    return given.matched(index_of_rows(given.matching, rows, f"run {info.run}")) if given.needs_index else given


def _options_of(info: RunInfo) -> RunOptions:
    """Return the options of a run that decide what its files say."""
    base = info.options.get("base")
    where, skip = tuple(info.options.get("where", ())), info.options.get("skip", 0)
    return RunOptions(where=where, skip=skip, base=Path(base) if base else None)
