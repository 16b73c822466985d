"""Several platforms in one run: settings files in, a run for each at the same time, the worst exit code out."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from usersync.cli.options import ask, choice_of, context_of, finish, reason_of, say, settings_of, stop_at_once
from usersync.errors import RefusedError, UsageError, UsersyncError

if TYPE_CHECKING:
    from usersync.context import Context
    from usersync.settings import Settings

AT_ONCE = 8
"""Platforms that are spoken to at the same time."""
WORST = (0, 1, 5, 3, 2, 4, 143, 130, 6)
"""Exit codes, the worst last."""


def settings_files(given: Iterable[Path]) -> list[Path]:
    """Give the files that `-c` names: of a folder all *.yaml in it, by name."""
    found: list[Path] = []
    for path in given:
        found += sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        if path.is_dir() and not any(path.glob("*.yaml")):
            raise UsageError(f"{path}: there is no settings file (*.yaml) in this folder")
    return found


def run_several(files: Sequence[str], configs: Sequence[Path], options: dict[str, Any], *, yes: bool) -> int:
    """Run the same files for each platform; where one settings file is wrong, nothing is sent to any."""
    if not yes:
        remedy = "add --yes, or run them one by one to be asked about each"
        raise RefusedError(f"nothing was sent: {len(configs)} platforms cannot be asked about at once; {remedy}")
    if "-" in files:
        raise UsageError("standard input can be read for one platform only; save it as a file first")
    each = [{**options, "config": config} for config in configs]
    jobs = [(settings_of(own), context_of(own), own) for own in each]
    for settings, _, _ in jobs:
        settings.platform.token()
    _connect_signals([context for _, context, _ in jobs])
    with ThreadPoolExecutor(AT_ONCE) as threads:
        futures = [threads.submit(_run, files, *job) for job in jobs]
        while wait(futures, timeout=0.5).not_done:  # returning now and then, so that signals come through
            pass
    endings = [future.result() for future in futures]
    code = max((int(ending["exit_code"]) for ending in endings), key=WORST.index)
    if options["as_json"]:
        click.echo(json.dumps({"platforms": endings, "exit_code": code}, ensure_ascii=False, indent=2))
    return code


def _run(files: Sequence[str], settings: Settings, context: Context, options: dict[str, Any]) -> dict[str, Any]:
    from usersync import api
    from usersync.cli.progress import Bar, Lines

    head = {"platform": settings.platform.url, "config": str(options["config"])}

    def tell(text: str) -> None:
        host = urlsplit(settings.platform.url).netloc
        say("\n".join(f"{host}: {line}" if line else "" for line in text.splitlines()))

    if isinstance(context.watch, Bar | Lines):  # many bars would draw over each other
        context.watch = Lines(tell, context.clock.monotonic)
    confirm = ask(options, context, yes=True, tell=tell)
    try:
        summary = api.run(files, settings, confirm=confirm, choice=choice_of(options), context=context)
    except UsersyncError as error:
        tell(f"usersync: {error}")
        return {**head, "exit_code": error.exit_code, "error": str(error)}
    if not options["as_json"]:
        finish(summary, options, tell=tell)
    return {**head, **summary.as_json()}


def _connect_signals(arounds: Sequence[Context]) -> None:
    """Let Ctrl-C and SIGTERM end all runs, also those that have not begun."""
    loops: dict[int, asyncio.AbstractEventLoop] = {}
    asked: list[int] = []
    for n, context in enumerate(arounds):
        context.on_start = partial(_note, loops, n)

    def stop(number: int, _frame: object) -> None:
        if asked:
            stop_at_once(number)
        asked.append(number)
        for n, context in enumerate(arounds):
            if n not in loops:
                context.stop.ask(*reason_of(number))
                continue
            with suppress(RuntimeError):  # a loop that is closed: this run is over
                loops[n].call_soon_threadsafe(context.stop.ask, *reason_of(number))

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)


def _note(loops: dict[int, asyncio.AbstractEventLoop], n: int, _stop: object) -> None:
    loops[n] = asyncio.get_running_loop()
