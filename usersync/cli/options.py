"""The options that commands share, and what becomes of them: settings, surroundings, a question, an ending."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

from usersync.cli.completion import complete_known

if TYPE_CHECKING:
    from usersync.context import Choice, Context
    from usersync.dispatch.rate_limit import Stop
    from usersync.planning.plan import Plan
    from usersync.settings import Settings

Command = TypeVar("Command", bound=Callable[..., Any])

REQUEST_OPTIONS = (
    click.option("--rate", help="Requests at most, like 3000/min, 50/s or off."),
    click.option("--concurrency", type=int, help="Requests in flight at most."),
    click.option("--timeout", help="Seconds to wait for an answer."),
    click.option("--proxy", help="http://user:password@host:port of a proxy."),
    click.option("--insecure", is_flag=True, help="Do not check TLS certificates (a risk)."),
    click.option("--batch-size", type=int, help="Requests in a batch."),
    click.option("--batch-interval", type=float, help="Milliseconds between two batches."),
)
TELLING_OPTIONS = (
    click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout, nothing else."),
    click.option("-q", "--quiet", is_flag=True, help="Say nothing unless a person is needed."),
    click.option("-v", "--verbose", count=True, help="Say more; twice: everything."),
    click.option("--log-format", type=click.Choice(["json", "text"]), help="Log events, one per line."),
    click.option("--log-file", type=click.Path(path_type=Path), help="Append them to a file, not to stderr."),
)
_CONFIG: dict[str, Any] = {"type": click.Path(path_type=Path), "help": "Settings; default: ./usersync.yaml"}
COMMON_OPTIONS = (click.option("-c", "--config", **_CONFIG), *TELLING_OPTIONS)
SEVERAL_OPTIONS = (
    click.option("-c", "--config", multiple=True, **_CONFIG | {"help": f"{_CONFIG['help']}; repeatable; or a folder."}),
    *TELLING_OPTIONS,
)
RUN_OPTIONS = (
    click.option("--engine", type=click.Choice(["local", "dask"]), help="What sends: this process, or a cluster."),
    click.option("--scheduler", metavar="ADDRESS", help="The Dask cluster, like tcp://host:8786."),
    click.option("--yes", is_flag=True, help="Send without asking."),
    click.option("--max-duration", metavar="TIME", help="Stop in good order after 90s, 10m or 2h."),
    click.option("--override", multiple=True, metavar="RULE", help="Send although this limit says no."),
    click.option("--lock-wait", metavar="TIME", help="Wait so long for another run to finish."),
)
SHEET_OPTION = (click.option("--sheet", help="The sheet of a workbook to read."),)
SOURCE_OPTIONS = (
    click.option("--where", multiple=True, metavar="COLUMN=VALUE", help="Only rows with this value (repeatable)."),
    click.option("--skip", type=click.IntRange(min=0), default=0, help="Leave out the first N rows."),
    click.option("--compare-with", help="remote, nothing, last-run, or a file's path.", shell_complete=complete_known),
    click.option("--limit", type=click.IntRange(min=1), help="The first N changes only."),
)


def options_of(*groups: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    """Decorate a command with groups of options."""

    def decorate(command: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return decorate


def say(text: str) -> None:
    """Tell people; stdout is for data."""
    with suppress(OSError):
        click.echo(text, err=True)


def ask(
    options: dict[str, Any], context: Context, *, yes: bool, tell: Callable[[str], None] = say
) -> Callable[[Plan], bool] | None:
    """Give the way to have a plan confirmed; None where there is nobody to ask."""
    quiet = options["quiet"] or options["as_json"]
    if not yes and not (sys.stdin and sys.stdin.isatty()):
        return None

    def confirm(plan: Plan) -> bool:
        from usersync.cli.console import plan_text
        from usersync.cli.table import window

        if not (yes and quiet):
            tell(plan_text(plan, width=window(sys.stderr)) + "\n")
        return yes or _answer(f"Send {plan.changes:,} updates?", context.stop)

    return confirm


def _answer(question: str, stop: Stop) -> bool:
    """Ask on the terminal; while it is asked, Ctrl-C does not wait for the event loop, nor come to it later."""
    with suppress(NotImplementedError):
        asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
    awakener = signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        stop.ask(130, "stopped by Ctrl-C before anything was sent")
        return False
    finally:
        signal.set_wakeup_fd(awakener)
        _connect_signals(stop)


def choice_of(options: dict[str, Any]) -> Choice:
    """Give the rows that a person wants."""
    from usersync.context import Choice

    return Choice(options["where"], options["skip"], options["limit"])


def finish(summary: Any, options: dict[str, Any], *, tell: Callable[[str], None] = say) -> int:
    """Show how a run ended, and give its exit code."""
    from usersync.cli.console import summary_text
    from usersync.cli.table import window

    if options["as_json"]:
        try:
            click.echo(json.dumps(summary.as_json(), ensure_ascii=False, indent=2))
        except OSError as error:
            say(f"usersync: stdout takes nothing ({error.strerror}); see {summary.files['summary']}")
    elif summary.exit_code or not options["quiet"]:
        again = words_of(options, "config") if "config" in options else None
        tell(summary_text(summary, width=window(sys.stderr), options=again))
    return int(summary.exit_code)


def words_of(options: dict[str, Any], *names: str) -> list[str]:
    """Give the words of those options that were given, for the command to type next."""
    words = []
    for name in names:
        value = options.get(name)
        for item in value if isinstance(value, tuple) else (value,) if value else ():
            words += ["-c" if name == "config" else f"--{name.replace('_', '-')}", str(item)]
    return words


def settings_of(options: dict[str, Any]) -> Settings:
    """Load the settings, options of the command line winning over the file."""
    from usersync.settings import load_settings

    request = {
        name: options[name]
        for name in ("rate", "concurrency", "timeout", "proxy", "batch_size", "batch_interval")
        if options.get(name) is not None
    }
    if options.get("insecure"):
        request["verify_ssl"] = False
    overrides: dict[str, Any] = {"request": request}
    overrides |= {name: options[name] for name in ("engine", "scheduler") if options.get(name) is not None}
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


def context_of(options: dict[str, Any]) -> Context:
    """Give a run its clock, progress, logging, time limits and overrides."""
    from usersync.cli.progress import Bar, Lines
    from usersync.context import Context, NoProgress, SystemClock
    from usersync.logs import set_up

    set_up(
        verbose=options["verbose"],
        quiet=options["quiet"],
        style=options.get("log_format"),
        file=options.get("log_file"),
    )
    clock = SystemClock()
    context = Context(clock=clock, on_start=_connect_signals)
    context.max_duration = seconds_of("--max-duration", options.get("max_duration"))
    context.overrides = tuple(options.get("override") or ())
    context.lock_wait = seconds_of("--lock-wait", options.get("lock_wait")) or 0.0
    if not options["quiet"] and not options["as_json"]:
        context.watch = Bar(sys.stderr) if sys.stderr and sys.stderr.isatty() else Lines(say, clock.monotonic)
    else:
        context.watch = NoProgress()
    return context


def seconds_of(option: str, text: str | None) -> float | None:
    """Read a time such as 10m; UsageError names the option."""
    from usersync.settings import parse_duration

    try:
        return parse_duration(text) if text is not None else None
    except ValueError as error:
        raise click.UsageError(f"{option} {text}: {error}") from None


def _connect_signals(stop: Stop) -> None:
    """Let Ctrl-C and SIGTERM end a run in good order."""

    def ask(number: signal.Signals) -> None:
        if stop:
            stop_at_once(number)
        stop.ask(*reason_of(number))

    on_signals(ask)


def reason_of(number: int) -> tuple[int, str]:
    """Give the exit code that a signal leads to, and the words for it."""
    return 128 + number, f"stopped by {'Ctrl-C' if number == signal.SIGINT else signal.Signals(number).name}"


def stop_at_once(number: int) -> NoReturn:
    """End the process, at the second signal."""
    say("stopped at once; `usersync resume` looks up what was in flight")
    os._exit(128 + number)


def on_signals(call: Callable[[signal.Signals], object]) -> None:
    """Have Ctrl-C and SIGTERM call a function inside the running event loop, on Windows too."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, call, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_, n=number: loop.call_soon_threadsafe(call, n))
