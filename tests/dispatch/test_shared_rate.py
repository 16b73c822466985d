"""One pace for several processes, in a real file; tests/faults/test_rates.py tries it with real processes."""

import os
from pathlib import Path

from usersync.dispatch.cells import HEAD, RING
from usersync.dispatch.pace import Pace
from usersync.dispatch.shared_rate import LEFT_ALONE, SIZE, shared

URL = "https://chat.example.org"


def test_two_who_open_the_same_platform_see_the_same_cells(tmp_path: Path) -> None:
    with (
        shared(URL, tmp_path) as (one, _),
        shared(URL, tmp_path) as (two, _),
        shared("other", tmp_path) as (three, _),
    ):
        pace, other = Pace(10, 1.0, cells=one), Pace(10, 1.0, cells=two)
        pace.start(100.0)
        assert other.delay(100.0) > 0.09
        assert three[HEAD - 2] == 0.0
        assert len(one) == HEAD + RING


def test_a_file_takes_little_room_and_goes_when_it_is_left_alone(tmp_path: Path) -> None:
    with shared(URL, tmp_path):
        (old,) = tmp_path.glob("*.pace")
    assert old.stat().st_blocks * 512 < SIZE / 4
    past = old.stat().st_mtime - 2 * LEFT_ALONE
    os.utime(old, (past, past))
    with shared("another", tmp_path):
        assert not old.exists()


def test_a_damaged_file_is_made_anew(tmp_path: Path) -> None:
    with shared(URL, tmp_path):
        (file,) = tmp_path.glob("*.pace")
    file.write_bytes(b"\xff" * 100)
    with shared(URL, tmp_path) as (cells, _):
        assert cells[0] == 0.0


def test_a_hold_of_years_is_no_hold(tmp_path: Path) -> None:
    with shared(URL, tmp_path) as (cells, _):
        cells[1] = float("inf")
    with shared(URL, tmp_path) as (cells, _):
        assert cells[1] == 0.0


def test_another_boot_of_the_machine_begins_anew(tmp_path: Path) -> None:
    with shared(URL, tmp_path) as (cells, _):
        cells[1] = 1e9
    (file,) = tmp_path.glob("*.pace")
    file.write_bytes(file.read_bytes()[:-8] + bytes(8))
    with shared(URL, tmp_path) as (cells, _):
        assert cells[1] == 0.0


def test_where_no_file_can_be_had_everyone_is_alone(tmp_path: Path) -> None:
    (tmp_path / "no-folder").write_text("")
    with shared(URL, tmp_path / "no-folder") as (cells, lock), lock:
        assert len(cells) == HEAD + RING
