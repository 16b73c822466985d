"""Define the commands that change users, and `plan`, which stops before that."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from usersync.cli.completion import complete_files, complete_runs
from usersync.cli.confirm import confirmation
from usersync.cli.options import (
    COMMON_OPTIONS,
    CONFIGS_OPTIONS,
    LIMIT_OPTIONS,
    REQUEST_OPTIONS,
    RUN_OPTIONS,
    SHEET_OPTION,
    SOURCE_OPTIONS,
    make_context,
    make_settings_from,
    options_of,
    run_options,
)
from usersync.cli.output import fail, indented_json, option_words, say, show_summary, write_sent, write_stdout

if TYPE_CHECKING:
    from usersync.models import Row
    from usersync.report import Summary


@click.command()
@click.argument("files", nargs=-1, required=True, shell_complete=complete_files)
@options_of(RUN_OPTIONS, SHEET_OPTION, SOURCE_OPTIONS, REQUEST_OPTIONS, CONFIGS_OPTIONS)
def run(files: tuple[str, ...], *, yes: bool, config: tuple[Path, ...], **options: Any) -> int:
    """Plan, show, ask, send, report: the main job. FILES are CSV or Excel; - is stdin."""
    from usersync import api
    from usersync.cli.multi import run_for_platforms, settings_files

    configs = settings_files(config)
    if len(configs) > 1:
        return run_for_platforms(files, configs, options, yes=yes)
    options["config"] = configs[0] if configs else None
    return _execute(api.run, files, options, yes=yes)


@click.command()
@click.argument("files", nargs=-1, required=True, shell_complete=complete_files)
@click.option("-o", "save_as", type=click.Path(path_type=Path), help="Save the plan, for `usersync apply`.")
@click.option("--html", type=click.Path(path_type=Path), help="Write an HTML page for whoever approves the plan.")
@options_of(SHEET_OPTION, SOURCE_OPTIONS, REQUEST_OPTIONS, COMMON_OPTIONS)
def plan(files: tuple[str, ...], *, save_as: Path | None, html: Path | None, **options: Any) -> int:
    """Show what a run would change, and send nothing."""
    from usersync import api
    from usersync.cli.console import command, plan_text
    from usersync.cli.table import window_width

    settings, context = make_settings_from(options), make_context(options)
    found = api.plan(files, settings, options=run_options(options), context=context, save_as=save_as, html=html)
    if options["as_json"]:
        write_stdout(indented_json(found.as_json()))
        return found.exit_code
    if save_as:
        following = command("apply", str(save_as), *option_words(options, "config"))
    else:
        names = ("config", "sheet", "where", "skip", "limit", "compare_with", "match_by", "base")
        following = command("run", *files, *option_words(options, *names))
    if found.exit_code or not options["quiet"]:
        write_stdout(plan_text(found, width=window_width(sys.stdout), then=following))
    return found.exit_code


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@options_of(RUN_OPTIONS, REQUEST_OPTIONS, COMMON_OPTIONS)
def apply(plan_file: Path, *, yes: bool, **options: Any) -> int:
    """Send exactly a plan that `usersync plan -o` saved."""
    from usersync import api

    return _execute(api.apply, plan_file, options, yes=yes)


@click.command()
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=complete_runs)
@click.option("--all", "every", is_flag=True, help="Complete all that were interrupted, the oldest first.")
@options_of(RUN_OPTIONS, REQUEST_OPTIONS, COMMON_OPTIONS)
def resume(run_name: str | None, *, every: bool, yes: bool, **options: Any) -> int:
    """Complete a run that was interrupted; by default the latest."""
    from usersync import api

    if not every:
        return _execute(api.resume, run_name, options, yes=yes)
    if run_name or options["as_json"]:
        raise click.UsageError(f"--all does not go with {'the name of a run' if run_name else '--json'}")
    return _resume_all(options, yes=yes)


@click.command()
@click.argument("run_name", metavar="RUN", shell_complete=complete_runs)
@options_of(RUN_OPTIONS, REQUEST_OPTIONS, COMMON_OPTIONS)
def undo(run_name: str, *, yes: bool, **options: Any) -> int:
    """Restore the old values of a run, where its own values still stand."""
    from usersync import api

    return _execute(api.undo, run_name, options, yes=yes)


@click.command()
@click.argument("user_id", metavar="ID")
@click.option("--name")
@click.option("--display-name")
@click.option("--email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--attr", multiple=True, metavar="KEY=VALUE", help="A custom attribute; KEY:=JSON for other than text.")
@options_of(LIMIT_OPTIONS, REQUEST_OPTIONS, COMMON_OPTIONS)
def update(user_id: str, *, password_stdin: bool, attr: tuple[str, ...], **options: Any) -> int:
    """Update one user, and print it as JSON."""
    from usersync import api
    from usersync.errors import RefusedError, StoppedError
    from usersync.settings import FieldSettings

    values = {name: options[name] for name in ("name", "display_name", "email") if options[name] is not None}
    if password_stdin:
        values["password"] = sys.stdin.readline().rstrip("\r\n") if sys.stdin else ""
    settings = make_settings_from(options)
    fields = dict(settings.fields)
    for key, value, is_json in map(_parse_attribute, attr):
        name = f"custom_attributes.{key}"
        if name in values:
            raise click.UsageError(f"--attr {key} is given twice")
        values[name] = value
        if is_json:
            fields[name] = fields.get(name, FieldSettings()).model_copy(update={"type": "json"})
    if not values:
        raise click.UsageError("nothing to change; give --name, --display-name, --email, --password-stdin or --attr")
    settings = settings.model_copy(update={"fields": fields})
    context = make_context({**options, "quiet": True})
    try:
        row = api.update(
            user_id, values, settings, confirm=lambda _: True, options=run_options(options), context=context
        )
    except (RefusedError, StoppedError) as error:
        code = context.stop.reason.exit_code if context.stop.reason else error.exit_code
        return fail(f"user {user_id}: {error}", code, as_json=options["as_json"])
    return _show_updated(user_id, row, as_json=options["as_json"])


def _show_updated(user_id: str, row: Row, *, as_json: bool) -> int:
    """Show the user of a row that was updated, or why it was not; return the exit code."""
    from usersync.models import Code
    from usersync.planning.input import SUSPECT_NOTE

    if row.status in ("updated", "unchanged"):
        if row.note:
            say(f"usersync: user {user_id}: {row.note}")
        attributes = json.loads(row.custom_attributes or "{}")
        user = {"id": row.user_id, "name": row.name, "email": row.email, "custom_attributes": attributes}
        write_sent(json.dumps(user, ensure_ascii=False), elsewhere=f"`usersync history {row.id}` shows what was sent")
        return 0
    if Code.VALUE_SUSPECT in row.code:
        say(f"usersync: {SUSPECT_NOTE}")
    return fail(f"user {user_id}: {row.reason}", 1, as_json=as_json)


def _execute(job: Callable[..., Summary], source: object, options: dict[str, Any], *, yes: bool) -> int:
    """Call a public function that sends the rows of a source, and show how it ended."""
    settings, context = make_settings_from(options), make_context(options)
    confirm = confirmation(options, context, yes=yes)
    summary = job(source, settings, confirm=confirm, options=run_options(options), context=context)
    return show_summary(summary, options, plan_shown=bool(confirm and confirm.plan_shown))


def _resume_all(options: dict[str, Any], *, yes: bool) -> int:
    """Resume every interrupted run of the platform, even after one failed; return the worst exit code."""
    from usersync import api
    from usersync.cli.multi import WORST
    from usersync.errors import BusyError, UsersyncError
    from usersync.ledger import Ledger

    settings = make_settings_from(options)
    with Ledger(settings.ledger) as ledger:
        names = ledger.resumable(settings.platform.url)
    if not names and not options["quiet"]:
        say("no interrupted run to resume")
    codes = [0]
    for name in reversed(names):
        try:
            codes.append(_execute(api.resume, name, options, yes=yes))
        except UsersyncError as error:
            codes.append(fail(f"run {name}: {error}", error.exit_code, as_json=False))
        if codes[-1] >= BusyError.exit_code:  # an internal error or a signal too: the others would end alike
            break
    return max(codes, key=WORST.index)


def _parse_attribute(item: str) -> tuple[str, str, bool]:
    """Read KEY=VALUE (text) or KEY:=JSON: key, value, whether it is JSON."""
    key, equals, value = item.partition("=")
    name = key.removesuffix(":").strip()
    if not equals or not name:
        raise click.UsageError(f"--attr {item}: write KEY=VALUE, or KEY:=JSON")
    return name, value, key.endswith(":")
