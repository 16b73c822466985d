"""Define the commands to try usersync with: sandbox and demo."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from usersync.cli.confirm import Confirmation
from usersync.cli.options import make_context
from usersync.cli.output import say, show_summary, write_sent
from usersync.cli.signals import on_signals

if TYPE_CHECKING:
    from usersync.sandbox import Sandbox


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8400, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--users", type=click.IntRange(min=0), default=100, show_default=True, help="Users with ids from 1 on.")
@click.option("--token", default="sandbox-token", show_default=True)
@click.option("--limit", default="3000/min", show_default=True, help="Requests per fixed window, or off.")
@click.option("--latency", type=click.FloatRange(min=0), default=0.0, help="Seconds before each answer.")
@click.option("--errors", type=click.FloatRange(0, 1), default=0.0, help="Share of requests answered with 503.")
@click.option("--resets", type=click.FloatRange(0, 1), default=0.0, help="Share of connections that are reset.")
@click.option("--timeouts", type=click.FloatRange(0, 1), default=0.0, help="Share of requests never answered.")
@click.option("--seed", type=int, default=0, help="Makes faults repeatable.")
def sandbox(**options: Any) -> int:
    """Start a local stand-in for the platform, to practise on."""
    import asyncio  # slow to import, and `usersync --help` has no use for it

    from usersync.sandbox import Faults, Sandbox, serve
    from usersync.settings import Rate, parse_rate

    try:
        limit = parse_rate(options["limit"])
    except ValueError as error:
        raise click.UsageError(f"--limit: {error}") from None
    if not isinstance(limit, Rate | None):
        raise click.UsageError(f"--limit {limit}: write a rate like 3000/min or 50/s, or off")
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
        on_signals(lambda _: stop.set())
        await serve(box, ready=lambda b: say(_address(b)), stop=stop)

    try:
        asyncio.run(until_stopped())
    except OSError as error:
        raise click.ClickException(
            f"the sandbox cannot start on {options['host']}, port {options['port']}: {error.strerror}; "
            "name another with --host or --port"
        ) from None
    return 0


def _address(box: Sandbox) -> str:
    """Say how the sandbox is reached, and with which token the users of its account are listed."""
    from usersync.sandbox import user_token

    lines = [f"sandbox at {box.url}, token {box.token}"]
    if first := next(iter(box.store.users.values()), None):
        lines.append(f"account {first.accounts[0]}, account token {user_token(first.id)}")
    return "\n".join(lines)


@click.command()
@click.option("--dir", "folder", type=click.Path(path_type=Path), default=Path("usersync-demo"), show_default=True)
def demo(folder: Path) -> int:
    """Show a whole run: sandbox, sample workbook, plan, run, report."""
    from usersync.cli.demo import closing_text, run_demo, run_people
    from usersync.context import Context

    options = {"as_json": False, "quiet": False, "verbose": 0}
    context = make_context(options)
    show = partial(write_sent, elsewhere=f"the files of the demo are in {folder}")
    confirm = Confirmation(context, yes=True, quiet=False, show=show, stream=sys.stdout)
    summary = run_demo(folder, confirm=confirm, context=context)
    exit_code = show_summary(summary, options, plan_shown=confirm.plan_shown, write=show, stream=sys.stdout)
    if summary.files["rejects"]:  # not where the demo was stopped
        show(run_people(folder, context=Context(stop=context.stop, on_start=context.on_start)))
        show(closing_text(folder, summary))
    return exit_code
