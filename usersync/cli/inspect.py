"""Commands that look at files and at what was done; they send nothing."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import click

from usersync.cli.completion import complete_files, complete_runs
from usersync.cli.options import (
    COMMON_OPTIONS,
    REQUEST_OPTIONS,
    SHEET_OPTION,
    options_of,
    say,
    seconds_of,
    settings_of,
)


@click.command()
@click.argument("file", shell_complete=complete_files)
@click.option("--cells", is_flag=True, help="Print the data rows as read (passwords too), as CSV on stdout.")
@options_of(SHEET_OPTION, COMMON_OPTIONS)
def inspect(file: str, *, cells: bool, **options: Any) -> int:
    """Show what the loader sees in FILE, without a platform; settings are optional here."""
    from usersync import api
    from usersync.cli import inspection
    from usersync.settings import SourceSettings, load_settings

    config = options["config"] or os.environ.get("USERSYNC_CONFIG") or Path("usersync.yaml")
    overrides = {"source": {"sheet": options["sheet"]}} if options["sheet"] else {}
    if options["config"] or Path(config).exists():
        settings = load_settings(Path(config), overrides)
        table, wanted = api.read_and_check([file], settings.source, settings.columns, settings.fields)
    else:
        table, wanted = api.read_and_check([file], SourceSettings(sheet=options["sheet"]))
    shown = None if options["as_json"] or options["verbose"] else 10
    groups = api.problem_groups(table, wanted, shown=shown)
    if cells:
        left_out = inspection.write_cells(table, sys.stdout.buffer)
        for line in left_out:
            say(line)
    elif options["as_json"]:
        click.echo(json.dumps(inspection.as_json(table, wanted, groups), ensure_ascii=False, indent=2))
    else:
        say(inspection.as_text(table, wanted, groups))
    return 1 if wanted.problems else 0


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@options_of(COMMON_OPTIONS)
def template(out: Path, **options: Any) -> int:
    """Write OUT.xlsx, an empty workbook for the people who fill it in; settings are optional here."""
    from usersync.loader.template import write_template
    from usersync.settings import load_settings

    config = Path(options["config"] or os.environ.get("USERSYNC_CONFIG") or "usersync.yaml")
    if options["config"] or config.exists():
        settings = load_settings(config)
        write_template(out, columns=settings.columns, fields=settings.fields, sheet=settings.source.sheet)
    else:
        write_template(out, columns={}, fields={})
    if options["as_json"]:
        click.echo(json.dumps({"file": str(out)}))
    elif not options["quiet"]:
        say(f"{out}: fill it in, and look at it with `usersync plan {out}`")
    return 0


@click.command()
@click.option("--prune", metavar="TIME", help="Drop runs that finished longer ago, like 90d.")
@options_of(COMMON_OPTIONS)
def runs(*, prune: str | None, **options: Any) -> int:
    """List what was done, newest first."""
    from usersync.cli import history as records

    settings = settings_of(options)
    if prune:
        say(records.pruned(settings, seconds_of("--prune", prune)))
    click.echo(records.runs(settings, as_json=options["as_json"]))
    return 0


@click.command()
@click.argument("run_name", metavar="RUN", shell_complete=complete_runs)
@options_of(COMMON_OPTIONS)
def show(run_name: str, **options: Any) -> int:
    """Show one run: who, when, from which file, and every row."""
    from usersync.cli import history as records

    click.echo(records.show(run_name, settings_of(options), as_json=options["as_json"]))
    return 0


@click.command()
@click.argument("user_id", type=click.IntRange(min=1))
@options_of(COMMON_OPTIONS)
def history(user_id: int, **options: Any) -> int:
    """Show every change that was sent for one user, old -> new."""
    from usersync.cli import history as records

    click.echo(records.history(user_id, settings_of(options), as_json=options["as_json"]))
    return 0


@click.command()
@click.option("--user", "user_id", type=click.IntRange(min=1), help="The user to read; default: one we know, or 1.")
@options_of(REQUEST_OPTIONS, COMMON_OPTIONS)
def check(*, user_id: int | None, **options: Any) -> int:
    """See whether everything is in place: settings, token, platform, permission, limit, ledger. Sends nothing."""
    from usersync.context import SystemClock
    from usersync.diagnostics import run_diagnostics, verdict

    findings = tuple(run_diagnostics(lambda: settings_of(options), SystemClock(), user_id=user_id))
    code = verdict(findings)
    if options["as_json"]:
        document = {"checks": [finding.as_json() for finding in findings], "exit_code": code}
        click.echo(json.dumps(document, ensure_ascii=False, indent=2))
        return code
    drawn = bool(sys.stderr) and sys.stderr.isatty() and "utf" in sys.stderr.encoding.lower()
    tick, cross = ("\N{CHECK MARK} ", "\N{BALLOT X} ") if drawn else ("ok      ", "not ok  ")
    for found in findings:
        if found.exit_code or not options["quiet"]:
            remedy = f"; {found.remedy}" if found.remedy else ""
            say(f"{cross if found.exit_code else tick}{found.name:<12} {found.message}{remedy}")
    return code
