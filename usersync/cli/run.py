"""Commands that change users, and `plan`, which stops short of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from usersync.cli.completion import complete_files, complete_runs
from usersync.cli.options import (
    COMMON_OPTIONS,
    REQUEST_OPTIONS,
    RUN_OPTIONS,
    SEVERAL_OPTIONS,
    SHEET_OPTION,
    SOURCE_OPTIONS,
    ask,
    choice_of,
    context_of,
    finish,
    options_of,
    say,
    settings_of,
    words_of,
)


@click.command()
@click.argument("files", nargs=-1, required=True, shell_complete=complete_files)
@options_of(RUN_OPTIONS, SHEET_OPTION, SOURCE_OPTIONS, REQUEST_OPTIONS, SEVERAL_OPTIONS)
def run(files: tuple[str, ...], *, yes: bool, config: tuple[Path, ...], **options: Any) -> int:
    """Plan, show, ask, send, report: the main job. FILES are CSV or Excel; - is stdin."""
    from usersync import api
    from usersync.cli.multi import run_several, settings_files

    configs = settings_files(config)
    if len(configs) > 1:
        return run_several(files, configs, options, yes=yes)
    options["config"] = configs[0] if configs else None
    settings, context = settings_of(options), context_of(options)
    confirm = ask(options, context, yes=yes)
    summary = api.run(files, settings, confirm=confirm, choice=choice_of(options), context=context)
    return finish(summary, options)


@click.command()
@click.argument("files", nargs=-1, required=True, shell_complete=complete_files)
@click.option("-o", "save_as", type=click.Path(path_type=Path), help="Save the plan, for `usersync apply`.")
@click.option("--html", "page", type=click.Path(path_type=Path), help="Write a page, for whoever signs it off.")
@options_of(SHEET_OPTION, SOURCE_OPTIONS, REQUEST_OPTIONS, COMMON_OPTIONS)
def plan(files: tuple[str, ...], *, save_as: Path | None, page: Path | None, **options: Any) -> int:
    """Show what a run would change, and send nothing."""
    from usersync import api
    from usersync.cli.console import command, plan_text
    from usersync.cli.table import window

    settings, context = settings_of(options), context_of(options)
    found = api.plan(files, settings, choice=choice_of(options), context=context, save_as=save_as, page=page)
    if options["as_json"]:
        click.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=2))
    else:
        names = ("config", "sheet", "where", "skip", "limit", "compare_with")
        then = ("apply", str(save_as), *words_of(options, "config"))
        then = then if save_as else ("run", *files, *words_of(options, *names))
        say(plan_text(found, width=window(sys.stderr), then=command(*then)))
    return found.exit_code


@click.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@options_of(RUN_OPTIONS, REQUEST_OPTIONS, COMMON_OPTIONS)
def apply(plan_file: Path, *, yes: bool, **options: Any) -> int:
    """Send exactly a plan that `usersync plan -o` saved."""
    from usersync import api

    settings, context = settings_of(options), context_of(options)
    summary = api.apply(plan_file, settings, confirm=ask(options, context, yes=yes), context=context)
    return finish(summary, options)


@click.command()
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=complete_runs)
@options_of(RUN_OPTIONS, REQUEST_OPTIONS, COMMON_OPTIONS)
def resume(run_name: str | None, *, yes: bool, **options: Any) -> int:
    """Go on with a run that was stopped; by default the latest."""
    from usersync import api

    settings, context = settings_of(options), context_of(options)
    summary = api.resume(run_name, settings, confirm=ask(options, context, yes=yes), context=context)
    return finish(summary, options)


@click.command()
@click.argument("run_name", metavar="RUN", shell_complete=complete_runs)
@options_of(RUN_OPTIONS, REQUEST_OPTIONS, COMMON_OPTIONS)
def undo(run_name: str, *, yes: bool, **options: Any) -> int:
    """Put the old values of a run back, where ours still stand."""
    from usersync import api

    settings, context = settings_of(options), context_of(options)
    summary = api.undo(run_name, settings, confirm=ask(options, context, yes=yes), context=context)
    return finish(summary, options)


@click.command()
@click.argument("user_id", metavar="ID")
@click.option("--name")
@click.option("--display-name")
@click.option("--email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--attr", multiple=True, metavar="KEY=VALUE", help="A custom attribute; KEY:=JSON for other than text.")
@options_of(REQUEST_OPTIONS, COMMON_OPTIONS)
def update(user_id: str, *, password_stdin: bool, attr: tuple[str, ...], **options: Any) -> int:
    """Update one user, and print it as JSON."""
    from usersync import api
    from usersync.settings import FieldSettings

    cells: dict[str, str] = {}
    for name in ("name", "display_name", "email"):
        if options[name] is not None:
            cells[name] = options[name]
    if password_stdin:
        cells["password"] = sys.stdin.readline().rstrip("\r\n") if sys.stdin else ""
    settings = settings_of(options)
    types = dict(settings.fields)
    for key, value, is_json in map(_attribute, attr):
        name = f"custom_attributes.{key}"
        if name in cells:
            raise click.UsageError(f"--attr {key} is given twice")
        cells[name] = value
        if is_json:
            types[name] = types.get(name, FieldSettings()).model_copy(update={"type": "json"})
    settings = settings.model_copy(update={"fields": types})
    context = context_of({**options, "quiet": True})
    done = api.update(user_id, cells, settings, context=context)
    if done.user is None or done.status != "updated":
        say(f"usersync: user {user_id}: {done.message}")
    else:
        user = {"id": done.user.id, "name": done.user.name, "email": done.user.email}
        click.echo(json.dumps({**user, "custom_attributes": dict(done.user.custom_attributes)}, ensure_ascii=False))
    return context.stop.reason.exit_code if context.stop.reason else int(done.status != "updated")


def _attribute(item: str) -> tuple[str, str, bool]:
    """Read KEY=VALUE (text) or KEY:=JSON: key, value, whether it is JSON."""
    key, equals, value = item.partition("=")
    name = key.removesuffix(":").strip()
    if not equals or not name:
        raise click.UsageError(f"--attr {item}: write KEY=VALUE, or KEY:=JSON")
    return name, value, key.endswith(":")
