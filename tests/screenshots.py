"""Draw the README's picture from the demo.

Run: python tests/screenshots.py (needs Chromium and Pillow)
"""

import csv
import html
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from openpyxl import load_workbook
from PIL import Image

from usersync.cli.console import plan_text
from usersync.cli.demo import run_demo
from usersync.context import Context
from usersync.models import Json
from usersync.planning.plan import Plan
from usersync.report import Summary

PICTURE = Path(__file__).parent.parent / "samples" / "sheet-plan-report.png"
#: The rows of the sheet that the picture follows, and its columns: id, name, e-mail, seats, comment.
ROWS, COLUMNS = (4, 5, 6, 7, 9, 14), "ABCEG"
#: Lines of the plan that are shown: its beginning, and its end with the counts.
FIRST_LINES, LAST_LINES = 10, 7
WIDTH, HEIGHT = 880, 862
PAGE = """<meta charset="utf-8">
<style>
  body { margin: 0 16px; background: #fff; color: #1d2430; font: 14px/20px "DejaVu Sans", sans-serif }
  h2 { margin: 16px 0 6px; font-size: 15px } h2 small { color: #5b6575; font-weight: normal }
  table { border-collapse: collapse; width: 100%%; font-size: 13px }
  th, td { border: 1px solid #d5dae2; padding: 2px 8px; text-align: left; white-space: nowrap; height: 20px }
  th, .number { background: #f0f3f7; color: #46505f; font-weight: normal } td:last-child { white-space: normal }
  .updated { color: #1b7a47 } .unchanged { color: #5b6575 } .rejected { color: #b25d00 } .wrong { background: #fdeacc }
  pre { margin: 0; padding: 10px 14px; border-radius: 6px; background: #161b24; color: #dde3ec;
        font: 13px/18px "DejaVu Sans Mono", monospace }
  pre b { color: #82b4f2 } pre i { font-style: normal }
  .c2 { opacity: .6 } .c31 { color: #f58f86 } .c32 { color: #6fce98 } .c33 { color: #f0b45c }
</style>
<h2>1. The sheet <small>agent-changes.xlsx, as its author wrote it</small></h2>%s
<h2>2. The plan <small>what would change; nothing is sent before you agree</small></h2>%s
<h2>3. The report <small>one line for every row of the sheet</small></h2>%s"""
FLAGS = "--headless=new --no-sandbox --disable-gpu --no-first-run --hide-scrollbars --force-device-scale-factor=2"


def main() -> None:
    plans: list[str] = []

    def confirm(plan: Plan) -> bool:
        plans.append(plan_text(plan, width=100))
        return True

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        summary = run_demo(folder, confirm=confirm, context=Context())
        page = PAGE % (sheet(folder / "agent-changes.xlsx"), terminal(plans[0]), report(summary))
        draw(page, folder)


def sheet(workbook: Path) -> str:
    """Return the rows of the workbook as a spreadsheet shows them."""
    cells = load_workbook(workbook).active
    lines = [["", *COLUMNS], *([row, *(cells[f"{letter}{row}"].value for letter in COLUMNS)] for row in (3, *ROWS))]
    return table(lines, number=True).replace("<td>garcia.jose", '<td class="wrong">garcia.jose')


def terminal(plan: str) -> str:
    """Return the beginning and the end of a plan, in the colours of a terminal."""
    lines = plan.splitlines()
    text = html.escape("\n".join([*lines[:FIRST_LINES], "...", *lines[-LAST_LINES:]]))
    text = re.sub("\x1b\\[0m", "</i>", re.sub("\x1b\\[([1-9]\\d*)m", r'<i class="c\1">', text))
    question = "<b>Send 22 updates to https://chat.example.org? [y/N]:</b> y"
    return f"<pre><b>$ usersync run agent-changes.xlsx</b>\n{text}\n{question}</pre>"


def report(summary: Summary) -> str:
    """Return the lines of report.csv for these rows, and the counts of all."""
    with Path(str(summary.files["report"])).open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["row"]) in ROWS]
    lines = [["row", "id", "name", "status", "old -> new, or the reason"]]
    lines += [[row["row"], row["id"], row["name"], row["status"], outcome(row)] for row in rows]
    counts = ", ".join(f"{n} {status}" for status, n in summary.counts.items() if status != "rows")
    return table([*lines, ["...", "", "", "", f"{summary.counts['rows']} rows: {counts}"]], number=False)


def outcome(row: dict[str, str]) -> str:
    old, new = (json.loads(row[column] or "{}") for column in ("old", "new"))
    changes = [f"{name.removeprefix('custom_')}: {text(old.get(name))} -> {text(new[name])}" for name in new]
    return "; ".join(changes) or row["message"]


def text(value: Json) -> str:
    return "null" if value is None else str(value)


def table(lines: Iterable[Sequence[object]], *, number: bool) -> str:
    """Return an HTML table; `number`: the first column numbers the rows, as a spreadsheet does."""
    head, *rows = ([html.escape("" if cell is None else str(cell)) for cell in line] for line in lines)
    parts = ["<table><tr>", *(f"<th>{cell}</th>" for cell in head), "</tr>"]
    for first, *rest in rows:
        parts.append(f"<tr><td{' class=number' if number else ''}>{first}</td>")
        parts += [f'<td class="{cell}">{cell}</td>' if cell.isalpha() else f"<td>{cell}</td>" for cell in rest]
        parts.append("</tr>")
    return "".join([*parts, "</table>"])


def draw(page: str, folder: Path) -> None:
    source = folder / "picture.html"
    source.write_text(page, encoding="utf-8")
    command = [shutil.which("chromium") or "chromium", *FLAGS.split(), f"--user-data-dir={folder / 'profile'}"]
    command += [f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={PICTURE}", source.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with Image.open(PICTURE) as drawn:  # 128 colours: half the size, and no visible difference
        drawn.quantize(128).save(PICTURE, optimize=True)


if __name__ == "__main__":
    main()
