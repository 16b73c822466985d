"""Run the same files for several platforms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from usersync.cli.confirm import Confirmation
from usersync.cli.options import make_context, make_settings_from, run_options
from usersync.cli.output import indented_json, say, show_summary, write_sent
from usersync.cli.signals import connect_signals_of_many
from usersync.errors import RefusedError, UsageError, UsersyncError

if TYPE_CHECKING:
    from usersync.context import Context
    from usersync.planning.plan import Plan
    from usersync.report import Summary
    from usersync.settings import Settings

#: Exit codes, the worst last.
WORST = (0, 1, 5, 3, 2, 4, 129, 143, 130, 6)


def settings_files(given: Iterable[Path]) -> list[Path]:
    """Return the files that `-c` names; of a folder all *.yaml and *.yml in it, by name, but no hidden ones.

    Raises UsageError for an empty folder.
    """
    found: list[Path] = []
    for path in given:
        files = sorted(filter(_is_settings_file, path.iterdir())) if path.is_dir() else [path]
        if not files:
            raise UsageError(f"{path}: no settings file (*.yaml, *.yml) in this folder")
        found += files
    return found


def _is_settings_file(path: Path) -> bool:
    return path.suffix in (".yaml", ".yml") and not path.name.startswith(".")


def run_for_platforms(files: Sequence[str], configs: Sequence[Path], options: dict[str, Any], *, yes: bool) -> int:
    """Run the same files for each platform; where one settings file is wrong, nothing is sent to any."""
    from usersync import api

    if not yes:
        remedy = "add --yes, or run them one by one to be asked about each"
        raise RefusedError(f"nothing was sent: {len(configs)} platforms cannot be asked about at once; {remedy}")
    if "-" in files:
        raise UsageError("standard input can be read for one platform only; save it as a file first")
    settings = [make_settings_from({**options, "config": config}) for config in configs]
    labels = _labels(settings, configs)
    contexts = [_context(options, label) for label in labels]
    connect_signals_of_many(contexts)
    shown: set[str] = set()

    def confirm(plan: Plan) -> bool:
        shared = [label for one, label in zip(settings, labels, strict=True) if one.platform.url == plan.platform]
        quiet = options["quiet"] or options["as_json"]
        ask = Confirmation(contexts[0], yes=True, quiet=quiet, show=_printer(", ".join(shared)))
        answer = ask(plan)
        if ask.plan_shown:
            shown.add(plan.platform)
        return answer

    results = api.run_many(files, settings, confirm=confirm, options=run_options(options), contexts=contexts)
    endings = []
    for one, config, label, result in zip(settings, configs, labels, results, strict=True):
        _show(label, {**options, "config": config}, result, plan_shown=one.platform.url in shown)
        endings.append({"platform": one.platform.url, "config": str(config), **_as_json(result)})
    code = max((int(ending["exit_code"]) for ending in endings), key=WORST.index)
    if options["as_json"]:
        document = {"platforms": endings, "exit_code": code}
        write_sent(indented_json(document), elsewhere="the summaries are in the report folders")
    return code


def _labels(settings: Sequence[Settings], configs: Sequence[Path]) -> list[str]:
    """Return the prefixes of output lines: the hosts, or the settings files where hosts are equal."""
    hosts = [urlsplit(one.platform.url).netloc for one in settings]
    names = [config.name for config in configs]
    return next((labels for labels in (hosts, names) if len({*labels}) == len(labels)), list(map(str, configs)))


def _context(options: dict[str, Any], label: str) -> Context:
    from usersync.cli.progress import Bar, Lines

    context = make_context(options)
    if isinstance(context.progress, Bar | Lines):  # several bars would draw over each other
        context.progress = Lines(_printer(label), context.clock.monotonic)
    return context


def _printer(label: str) -> Callable[[str], None]:
    """Return a `say` that begins each line with a label."""

    def show(text: str) -> None:
        say("\n".join(f"{label}: {line}" if line else "" for line in text.splitlines()))

    return show


def _show(label: str, options: dict[str, Any], result: Summary | UsersyncError, *, plan_shown: bool) -> None:
    if isinstance(result, UsersyncError):
        _printer(label)(f"usersync: {result}")
    elif not options["as_json"]:
        show_summary(result, options, plan_shown=plan_shown, write=_printer(label))


def _as_json(result: Summary | UsersyncError) -> dict[str, Any]:
    if isinstance(result, UsersyncError):
        return {"exit_code": result.exit_code, "error": str(result)}
    return result.as_json()
