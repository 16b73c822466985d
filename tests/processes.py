"""Start usersync in processes of its own that are forked from one which has imported it.

An interpreter needs most of a second to import pandas and the rest: more than the command that a test interrupts.
"""

import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

_ROOT = str(Path(__file__).parent.parent)
if _ROOT not in sys.path:  # for a process to find this module where `pytest` was not started by `python -m`
    sys.path.append(_ROOT)  # behind usersync as it is installed
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["usersync.api", "usersync.cli.run", "usersync.cli.confirm", "usersync.cli.export"])


class CommandProcess:
    """A command that runs in a process of its own; used like a `subprocess.Popen` in text mode."""

    def __init__(self, words: tuple[str, ...], folder: Path, env: Mapping[str, str]) -> None:
        self._output = TemporaryDirectory()
        self._out, self._err = (Path(self._output.name, name) for name in ("stdout", "stderr"))
        self._out.touch()
        self._err.touch()
        self._process = _CONTEXT.Process(target=_run, args=(words, folder, dict(env), self._out, self._err))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """The exit code, or the negative number of a signal; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def stderr_so_far(self) -> str:
        return self._err.read_text("utf-8")

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for the end, and return stdout and stderr."""
        self._process.join(timeout)
        assert self.poll() is not None, f"the process does not end within {timeout:.0f} s: {self.stderr_so_far()}"
        return self._out.read_text("utf-8"), self._err.read_text("utf-8")

    def close(self) -> None:
        """Kill the process if it still runs, and forget its output."""
        self.kill()
        self._process.join()
        self._process.close()
        self._output.cleanup()


def _run(words: tuple[str, ...], folder: Path, env: dict[str, str], out: Path, err: Path) -> None:
    """Become what `python -m usersync` is."""
    from usersync.cli import main

    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    for path, number in ((out, 1), (err, 2)):
        opened = os.open(path, os.O_WRONLY)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = ["usersync", *words]
    sys.stdout = io.TextIOWrapper(io.FileIO(1, "w", closefd=False), "utf-8", write_through=True)
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", write_through=True)
    main()
