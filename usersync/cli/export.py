"""Define `usersync export`: the users as they are, in a file to edit."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from usersync.cli.options import COMMON_OPTIONS, REQUEST_OPTIONS, make_context, make_settings_from, options_of
from usersync.cli.output import fail, indented_json, option_words, say, write_stdout, writing_stdout

#: Users that could not be read and are shown one by one.
_UNREAD_SHOWN = 10


@click.command()
@click.argument("out")
@click.option("--where", multiple=True, metavar="COLUMN=VALUE", help="Only users with this value (repeatable).")
@click.option(
    "--columns", multiple=True, metavar="A,B,...", help="Only these columns, such as name,custom_attributes.seats."
)
@click.option("--ids", type=click.Path(path_type=Path), help="A list or table of the ids to export; - is stdin.")
@options_of(REQUEST_OPTIONS, COMMON_OPTIONS)
def export(out: str, *, where: tuple[str, ...], columns: tuple[str, ...], ids: Path | None, **options: Any) -> int:
    """Write the users as they are, to edit them and run the file again.

    OUT is a file that ends in .xlsx or .csv, or - for CSV on stdout.
    """
    from usersync import api
    from usersync.errors import StoppedError
    from usersync.loader.id_list import read_id_list

    if out == "-" and options["as_json"]:
        raise click.UsageError("stdout cannot hold both the users and --json; name a file, or leave out --json")
    settings, context = make_settings_from(options), make_context(options)
    user_ids = read_id_list(ids, options=settings.source, columns=settings.columns) if ids else None
    asked = ",".join(columns).split(",") if columns else None
    try:
        with writing_stdout() if out == "-" else nullcontext():
            found = api.export(out, settings, ids=user_ids, where=where, columns=asked, context=context)
    except StoppedError as error:
        code = context.stop.reason.exit_code if context.stop.reason else error.exit_code
        return fail(str(error), code, as_json=options["as_json"])
    _show(out, found, options)
    return int(bool(found.unread))


def _show(out: str, found: Any, options: dict[str, Any]) -> None:
    if options["as_json"]:
        document = {
            "users": found.users,
            "files": [str(file) for file in found.files],
            "unread": [{"id": user_id, "message": message} for user_id, message in found.unread],
            "notes": list(found.notes),
        }
        write_stdout(indented_json(document))
        return
    for user_id, message in found.unread[:_UNREAD_SHOWN]:
        say(f"user {user_id} was left out: {message}")
    if len(found.unread) > _UNREAD_SHOWN:
        say(f"... and {len(found.unread) - _UNREAD_SHOWN:,} more")
    if options["quiet"]:
        return
    from usersync.cli.console import command
    from usersync.wording import plural

    for note in found.notes:
        say(f"note: {note}")
    users = plural(found.users, "user")
    if out == "-":
        say(users)
        return
    files = " and ".join(map(str, found.files))
    following = command("plan", out, *option_words(options, "config"))
    say(f"{files}: {users}; change cells, then review with: {following}")
