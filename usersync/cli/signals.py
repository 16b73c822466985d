"""Let Ctrl-C, SIGTERM and SIGHUP end a run in good order."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from usersync.cli.output import say

if TYPE_CHECKING:
    import asyncio

    from usersync.context import Context, Stop

#: The signals that end a run; Windows has no SIGHUP.
STOP_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def connect_signals(stop: Stop) -> None:
    """Let signals end the run of the running event loop; the second one ends the process."""

    def ask(number: int) -> None:
        if stop:
            exit_now(number)
        stop.ask(*reason_of(number))

    on_signals(ask)


def connect_signals_of_many(contexts: Sequence[Context]) -> None:
    """Let signals end all runs, including those not yet started; each runs in a thread and a loop of its own."""
    import asyncio  # slow to import, and `usersync --help` has no use for it

    loops: dict[int, asyncio.AbstractEventLoop] = {}
    received: list[int] = []

    def remember_loop(n: int) -> Callable[[Stop], None]:
        def remember(_: Stop) -> None:
            loops[n] = asyncio.get_running_loop()

        return remember

    for n, context in enumerate(contexts):
        context.on_start = remember_loop(n)

    def stop_all(number: int, _frame: object) -> None:
        if received:
            exit_now(number)
        received.append(number)
        for n, context in enumerate(contexts):
            if n not in loops:
                context.stop.ask(*reason_of(number))
                continue
            with suppress(RuntimeError):  # a closed loop: this run is over
                loops[n].call_soon_threadsafe(context.stop.ask, *reason_of(number))

    for number in STOP_SIGNALS:
        signal.signal(number, stop_all)


def on_signals(call: Callable[[int], object]) -> None:
    """Have signals call a function inside the running event loop, on Windows too."""
    import asyncio  # as above

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        try:
            loop.add_signal_handler(number, call, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_, n=number: loop.call_soon_threadsafe(call, n))


def reason_of(number: int) -> tuple[int, str]:
    """Return the exit code that a signal leads to, and the words for it."""
    return 128 + number, f"stopped by {'Ctrl-C' if number == signal.SIGINT else signal.Signals(number).name}"


def exit_now(number: int) -> NoReturn:
    """End the process, at the second signal."""
    say("stopped at once; `usersync resume` looks up what was in flight")
    os._exit(128 + number)
