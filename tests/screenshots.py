"""Draw the README's pictures from the demo: `python tests/screenshots.py`, by Chromium and Pillow."""

import getpass
import html
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

from usersync.cli.console import plan_text
from usersync.cli.demo import run_demo
from usersync.context import Context
from usersync.planning.plan import Plan

SAMPLES = Path(__file__).parent.parent / "samples"
TERMINAL = """<meta charset="utf-8">
<style>
  body { margin: 20px 24px; background: #161b24; color: #dde3ec } b { color: #82b4f2 } i { font-style: normal }
  .c2 { opacity: .6 } .c31 { color: #f58f86 } .c32 { color: #6fce98 } .c33 { color: #f0b45c }
  pre { margin: 0; font: 14px/20px "DejaVu Sans Mono", monospace }
</style>
<pre><b>$ usersync plan agent-changes.xlsx</b>\n\nTEXT</pre>"""
#: Lines of the plan at the top and at the bottom of its picture.
TOP = 26
BOTTOM = 8
FLAGS = "--headless=new --no-sandbox --disable-gpu --no-first-run --hide-scrollbars --force-device-scale-factor=1"


def main() -> None:
    texts: list[str] = []

    def confirm(plan: Plan) -> bool:
        texts.append(plan_text(plan, width=100))
        return True

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        summary = run_demo(folder, confirm=confirm, context=Context())
        page = Path(str(summary.files["html"])).read_text("utf-8")
        page = page.replace(f"{getpass.getuser()}@{socket.gethostname()}", "ann@ops").replace(f"{folder}/", "")
        draw(page, "report-page.png", width=1280, height=1820, folder=folder)
        lines = html.escape(texts[0].replace(f"{folder}/", "")).splitlines()
        shown = "\n".join([*lines[:TOP], "", "[...]", "", *lines[-BOTTOM:]])
        text = re.sub("\x1b\\[0m", "</i>", re.sub("\x1b\\[([1-9]\\d*)m", r'<i class="c\1">', shown))
        draw(TERMINAL.replace("TEXT", text), "plan.png", width=920, height=(TOP + BOTTOM + 7) * 20, folder=folder)


def draw(page: str, picture: str, *, width: int, height: int, folder: Path) -> None:
    source = folder / "picture.html"
    source.write_text(page, encoding="utf-8")
    command = [shutil.which("chromium") or "chromium", *FLAGS.split(), f"--user-data-dir={folder / 'profile'}"]
    command += [f"--window-size={width},{height}", f"--screenshot={SAMPLES / picture}", source.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    with Image.open(SAMPLES / picture) as drawn:  # 64 colours: a third of the size, and nobody sees it
        drawn.quantize(64).save(SAMPLES / picture, optimize=True)


if __name__ == "__main__":
    main()
