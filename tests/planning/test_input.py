"""Test what the author of files is told about values that look damaged."""

import pandas as pd
import pytest
import yaml

from usersync.planning.input import SUSPECT_NOTE, read_files
from usersync.settings import OfflineSettings


def frame(name: str) -> pd.DataFrame:
    return pd.DataFrame({"id": ["7"], "name": [name]})


def test_names_the_settings_that_send_values_which_look_damaged() -> None:
    assert SUSPECT_NOTE in read_files(frame("4711"), OfflineSettings()).notes
    assert SUSPECT_NOTE not in read_files(frame("Ann"), OfflineSettings()).notes
    _, whole, field = SUSPECT_NOTE.replace("NAME", "name").split("; ")[1].replace("fields", "source").split("source: ")
    for section, text in (("source", whole.partition(",")[0]), ("fields", field)):
        settings = OfflineSettings.model_validate({section: yaml.safe_load(text)})
        assert read_files(frame("4711"), settings).desired.values["name"].tolist() == ["4711"]


@pytest.mark.parametrize("texts", [["Ann Jones", "Ann"]])
def test_names_no_setting_for_what_settings_do_not_decide(texts: list[str]) -> None:
    table = pd.DataFrame([["7", *texts]], columns=["id", "name", "display_name"])
    found = read_files(table, OfflineSettings())
    assert found.desired.problems
    assert SUSPECT_NOTE not in found.notes
