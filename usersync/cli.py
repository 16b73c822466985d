"""Words in, exit code out: the command line is a client of the public functions, and decides nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from usersync.errors import UsersyncError

if TYPE_CHECKING:
    from usersync.dispatch.gate import Stop
    from usersync.plan import Plan
    from usersync.settings import Settings
    from usersync.surroundings import Choice, Surroundings

Command = TypeVar("Command", bound=Callable[..., Any])

_REQUEST_OPTIONS = (
    click.option("--rate", help="Requests at most, like 3000/min, 50/s or off."),
    click.option("--concurrency", type=int, help="Requests in flight at most."),
    click.option("--timeout", help="Seconds to wait for an answer."),
    click.option("--proxy", help="http://user:password@host:port of a proxy."),
    click.option("--insecure", is_flag=True, help="Do not check TLS certificates (a risk)."),
    click.option("--batch-size", type=int, help="Requests in a batch."),
    click.option("--batch-interval", type=float, help="Milliseconds between two batches."),
)
_COMMON_OPTIONS = (
    click.option("-c", "--config", type=click.Path(path_type=Path), help="Settings; default: ./usersync.yaml"),
    click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing unless a person is needed."),
    click.option("-v", "--verbose", count=True, help="Say more; twice: everything."),
)
_RUN_OPTIONS = (
    click.option("--yes", is_flag=True, help="Send without asking."),
    click.option("--max-duration", metavar="TIME", help="Stop in good order after 90s, 10m or 2h."),
    click.option("--override", multiple=True, metavar="RULE", help="Send although this limit says no."),
    click.option("--lock-wait", metavar="TIME", help="Wait so long for another run to finish."),
)
_SHEET_OPTION = (click.option("--sheet", help="The sheet of a workbook to read."),)
_SOURCE_OPTIONS = (
    click.option("--where", multiple=True, metavar="COLUMN=VALUE", help="Only rows with this value (repeatable)."),
    click.option("--skip", type=click.IntRange(min=0), default=0, help="Leave out the first N rows."),
    click.option("--compare-with", help="remote, nothing, last-run, or a file's path."),
    click.option("--limit", type=click.IntRange(min=1), help="The first N changes only."),
)


def _options(*groups: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return decorate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="usersync")
def cli() -> None:
    """Bring a spreadsheet of user changes to the platform, and account for every row."""


def main() -> None:
    """Run the command line; every error that a user can meet ends in a sentence and an exit code."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        say("stopped before anything was sent")
        code = 130
    except UsersyncError as error:
        say(f"usersync: {error}")
        code = error.exit_code
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


def say(text: str) -> None:
    """Tell people; stdout is for data."""
    click.echo(text, err=True)


@cli.command()
@click.argument("files", nargs=-1, required=True)
@_options(_RUN_OPTIONS, _SHEET_OPTION, _SOURCE_OPTIONS, _REQUEST_OPTIONS, _COMMON_OPTIONS)
def run(files: tuple[str, ...], *, yes: bool, **options: Any) -> int:
    """Plan, show, ask, send, report: the main job. FILES are CSV or Excel; - is stdin."""
    from usersync import sync

    settings = _settings(options)
    summary = sync.run(
        files, settings, confirm=_ask(options, yes=yes), choice=_choice(options), around=_around(options)
    )
    return _finish(summary, options)


@cli.command()
@click.argument("run_name", metavar="[RUN]", required=False)
@_options(_RUN_OPTIONS, _REQUEST_OPTIONS, _COMMON_OPTIONS)
def resume(run_name: str | None, *, yes: bool, **options: Any) -> int:
    """Go on with a run that was stopped; by default the latest."""
    from usersync import sync

    settings = _settings(options)
    summary = sync.resume(run_name, settings, confirm=_ask(options, yes=yes), around=_around(options))
    return _finish(summary, options)


@cli.command()
@click.argument("plan_file", metavar="PLAN", type=click.Path(path_type=Path))
@_options(_RUN_OPTIONS, _REQUEST_OPTIONS, _COMMON_OPTIONS)
def apply(plan_file: Path, *, yes: bool, **options: Any) -> int:
    """Send exactly a plan that `usersync plan -o` saved."""
    from usersync import sync

    settings = _settings(options)
    summary = sync.apply(plan_file, settings, confirm=_ask(options, yes=yes), around=_around(options))
    return _finish(summary, options)


@cli.command()
@click.argument("run_name", metavar="RUN")
@_options(_RUN_OPTIONS, _REQUEST_OPTIONS, _COMMON_OPTIONS)
def undo(run_name: str, *, yes: bool, **options: Any) -> int:
    """Put the old values of a run back, where ours still stand."""
    from usersync import sync

    settings = _settings(options)
    summary = sync.undo(run_name, settings, confirm=_ask(options, yes=yes), around=_around(options))
    return _finish(summary, options)


@cli.command()
@click.option("--prune", metavar="TIME", help="Drop runs that finished longer ago, like 90d.")
@_options(_COMMON_OPTIONS)
def runs(*, prune: str | None, **options: Any) -> int:
    """List what was done, newest first."""
    from usersync import records

    settings = _settings(options)
    if prune:
        say(records.pruned(settings, _seconds("--prune", prune)))
    click.echo(records.runs(settings, as_json=options["as_json"]))
    return 0


@cli.command()
@click.argument("run_name", metavar="RUN")
@_options(_COMMON_OPTIONS)
def show(run_name: str, **options: Any) -> int:
    """Show one run: who, when, from which file, and every row."""
    from usersync import records

    click.echo(records.show(run_name, _settings(options), as_json=options["as_json"]))
    return 0


@cli.command()
@click.argument("user_id", type=click.IntRange(min=1))
@_options(_COMMON_OPTIONS)
def history(user_id: int, **options: Any) -> int:
    """Show every change that was sent for one user, old -> new."""
    from usersync import records

    click.echo(records.history(user_id, _settings(options), as_json=options["as_json"]))
    return 0


@cli.command()
@click.argument("files", nargs=-1, required=True)
@click.option("-o", "save_as", type=click.Path(path_type=Path), help="Save the plan, for `usersync apply`.")
@_options(_SHEET_OPTION, _SOURCE_OPTIONS, _REQUEST_OPTIONS, _COMMON_OPTIONS)
def plan(files: tuple[str, ...], *, save_as: Path | None, **options: Any) -> int:
    """Show what a run would change, and send nothing."""
    from usersync import sync
    from usersync.report.terminal import plan_text

    settings, around = _settings(options), _around(options)
    found = sync.plan(files, settings, choice=_choice(options), around=around, save_as=save_as)
    if options["as_json"]:
        click.echo(json.dumps(found.as_json(), ensure_ascii=False, indent=2))
    else:
        say(plan_text(found))
    return found.exit_code


@cli.command()
@click.argument("file")
@click.option("--cells", is_flag=True, help="Print the data rows as read (passwords too), as CSV on stdout.")
@_options(_SHEET_OPTION, _COMMON_OPTIONS)
def inspect(file: str, *, cells: bool, **options: Any) -> int:
    """Show what the loader sees in FILE, without a platform; settings are optional here."""
    from usersync import sync
    from usersync.report import inspection
    from usersync.settings import SourceSettings, load_settings

    config = options["config"] or os.environ.get("USERSYNC_CONFIG") or Path("usersync.yaml")
    overrides = {"source": {"sheet": options["sheet"]}} if options["sheet"] else {}
    if options["config"] or Path(config).exists():
        settings = load_settings(Path(config), overrides)
        table, wanted = sync.read_and_check([file], settings.source, settings.columns, settings.fields)
    else:
        table, wanted = sync.read_and_check([file], SourceSettings(sheet=options["sheet"]))
    shown = None if options["as_json"] or options["verbose"] else 10
    groups = sync.problem_groups(table, wanted, shown=shown)
    if cells:
        left_out = inspection.write_cells(table, sys.stdout.buffer)
        for line in left_out:
            say(line)
    elif options["as_json"]:
        click.echo(json.dumps(inspection.as_json(table, wanted, groups), ensure_ascii=False, indent=2))
    else:
        say(inspection.as_text(table, wanted, groups))
    return 1 if wanted.problems else 0


@cli.command()
@click.argument("out", type=click.Path(path_type=Path))
@_options(_COMMON_OPTIONS)
def template(out: Path, **options: Any) -> int:
    """Write OUT.xlsx, an empty workbook for the people who fill it in; settings are optional here."""
    from usersync.report.template import write_template
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


@cli.command()
@click.argument("user_id", metavar="ID")
@click.option("--name")
@click.option("--display-name")
@click.option("--email")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option(
    "--attr", multiple=True, metavar="KEY=VALUE", help="A custom attribute; KEY:=JSON for other than text."
)
@_options(_REQUEST_OPTIONS, _COMMON_OPTIONS)
def update(user_id: str, *, password_stdin: bool, attr: tuple[str, ...], **options: Any) -> int:
    """Update one user, and print it as JSON."""
    from usersync import sync
    from usersync.settings import FieldSettings

    cells: dict[str, str] = {}
    for name in ("name", "display_name", "email"):
        if options[name] is not None:
            cells[name] = options[name]
    if password_stdin:
        cells["password"] = sys.stdin.readline().rstrip("\r\n")
    settings = _settings(options)
    types = dict(settings.fields)
    for key, value, is_json in map(_attribute, attr):
        name = f"custom_attributes.{key}"
        cells[name] = value
        if is_json:
            types[name] = types.get(name, FieldSettings()).model_copy(update={"type": "json"})
    settings = settings.model_copy(update={"fields": types})
    around = _around({**options, "quiet": True})
    done = sync.update(user_id, cells, settings, around=around)
    if done.user is None:
        say(f"usersync: user {user_id}: {done.message}")
    else:
        user = {"id": done.user.id, "name": done.user.name, "email": done.user.email}
        click.echo(json.dumps({**user, "custom_attributes": dict(done.user.custom_attributes)}, ensure_ascii=False))
    return around.stop.reason.exit_code if around.stop.reason else int(done.status != "updated")


def _attribute(item: str) -> tuple[str, str, bool]:
    """Read KEY=VALUE (text) or KEY:=JSON: key, value, whether it is JSON."""
    key, equals, value = item.partition("=")
    name = key.removesuffix(":").strip()
    if not equals or not name:
        raise click.UsageError(f"--attr {item}: write KEY=VALUE, or KEY:=JSON")
    return name, value, key.endswith(":")


@cli.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8400, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option(
    "--users", type=click.IntRange(min=0), default=100, show_default=True, help="Users with ids from 1 on."
)
@click.option("--token", default="sandbox-token", show_default=True)
@click.option("--limit", default="3000/min", show_default=True, help="Requests per fixed window, or off.")
@click.option("--latency", type=float, default=0.0, help="Seconds before each answer.")
@click.option("--errors", type=click.FloatRange(0, 1), default=0.0, help="Share of requests answered with 503.")
@click.option("--resets", type=click.FloatRange(0, 1), default=0.0, help="Share of connections that are reset.")
@click.option("--timeouts", type=click.FloatRange(0, 1), default=0.0, help="Share of requests never answered.")
@click.option("--seed", type=int, default=0, help="Makes faults repeatable.")
def sandbox(**options: Any) -> int:
    """Start a small platform in a box, to rehearse on."""
    from usersync.sandbox import Faults, Sandbox, serve
    from usersync.settings import Rate, parse_rate

    try:
        limit = parse_rate(options["limit"])
    except ValueError as error:
        raise click.UsageError(f"--limit: {error}") from None
    assert limit is None or isinstance(limit, Rate)  # noqa: S101 - what parse_rate gives
    box = Sandbox(
        users=options["users"],
        token=options["token"],
        limit=limit,
        latency=options["latency"],
        faults=Faults(options["errors"], options["resets"], options["timeouts"], seed=options["seed"]),
        host=options["host"],
        port=options["port"],
        keep_log=False,
    )

    async def until_stopped() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await serve(box, ready=lambda b: say(f"sandbox at {b.url}, token {options['token']}"), stop=stop)

    try:
        asyncio.run(until_stopped())
    except OSError as error:
        raise click.ClickException(
            f"the sandbox cannot start on port {options['port']}: {error.strerror}"
        ) from None
    return 0


@cli.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path("usersync-demo"), show_default=True)
def demo(folder: Path) -> int:
    """Show the whole line at work: sandbox, sample workbook, plan, run, report."""
    from usersync.demo import run_demo

    options = {"as_json": False, "quiet": False, "verbose": 0}
    summary = run_demo(folder, confirm=_ask(options, yes=True), around=_around(options))
    return _finish(summary, options)


def _ask(options: dict[str, Any], *, yes: bool) -> Callable[[Plan], bool] | None:
    """Give the way to have a plan confirmed; None where there is nobody to ask."""
    quiet = options["quiet"] or options["as_json"]
    if not yes and not sys.stdin.isatty():
        return None

    def confirm(plan: Plan) -> bool:
        from usersync.report.terminal import plan_text

        if not (yes and quiet):
            say(plan_text(plan) + "\n")
        return yes or click.confirm(f"Send {plan.changes:,} updates?", err=True)

    return confirm


def _choice(options: dict[str, Any]) -> Choice:
    from usersync.surroundings import Choice

    return Choice(options["where"], options["skip"], options["limit"])


def _finish(summary: Any, options: dict[str, Any]) -> int:
    from usersync.report.terminal import summary_text

    if options["as_json"]:
        click.echo(json.dumps(summary.as_json(), ensure_ascii=False, indent=2))
    elif summary.exit_code or not options["quiet"]:
        say(summary_text(summary))
    return int(summary.exit_code)


def _settings(options: dict[str, Any]) -> Settings:
    from usersync.settings import load_settings

    request = {
        name: options[name]
        for name in ("rate", "concurrency", "timeout", "proxy", "batch_size", "batch_interval")
        if options.get(name) is not None
    }
    if options.get("insecure"):
        request["verify_ssl"] = False
    overrides: dict[str, dict[str, Any]] = {"request": request}
    if options.get("sheet"):
        overrides["source"] = {"sheet": options["sheet"]}
    if options.get("compare_with"):
        overrides["diff"] = {"compare_with": options["compare_with"]}
    settings = load_settings(options["config"], overrides)
    if not settings.request.verify_ssl:
        say(
            "warning: TLS certificates are not checked; whoever sits in between can read the token "
            "(better: request.ca_file)"
        )
    return settings


def _around(options: dict[str, Any]) -> Surroundings:
    from usersync.clock import SystemClock
    from usersync.report.progress import Bar, Lines
    from usersync.surroundings import Surroundings, Unwatched

    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(options["verbose"], 2)]
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", force=True)
    clock = SystemClock()
    around = Surroundings(clock=clock, on_start=_connect_signals)
    around.max_duration = _seconds("--max-duration", options.get("max_duration"))
    around.overrides = tuple(options.get("override") or ())
    around.lock_wait = _seconds("--lock-wait", options.get("lock_wait")) or 0.0
    if not options["quiet"] and not options["as_json"]:
        around.watch = Bar(sys.stderr) if sys.stderr.isatty() else Lines(say, clock.monotonic)
    else:
        around.watch = Unwatched()
    return around


def _seconds(option: str, text: str | None) -> float | None:
    from usersync.settings import parse_duration

    try:
        return parse_duration(text) if text is not None else None
    except ValueError as error:
        raise click.UsageError(f"{option} {text}: {error}") from None


def _connect_signals(stop: Stop) -> None:
    """Let Ctrl-C and SIGTERM end a run in good order."""

    def ask(number: signal.Signals) -> None:
        if stop:
            say("stopped at once; `usersync resume` looks up what was in flight")
            os._exit(128 + number)
        stop.ask(128 + number, f"stopped by {'Ctrl-C' if number == signal.SIGINT else number.name}")

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, ask, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_, n=number: loop.call_soon_threadsafe(ask, n))
