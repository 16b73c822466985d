"""Test how settings are read, and that all errors are reported together."""

from pathlib import Path

import pytest

from usersync.errors import SettingsError
from usersync.settings import Rate, load_settings, make_settings

CONFIG = Path(__file__).parents[2] / "config"
PLATFORM = {"url": "http://127.0.0.1:1", "token_env": "USERSYNC_TOKEN"}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "usersync.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["usersync.yaml", "sandbox.yaml"])
def test_the_settings_files_in_config_are_valid(name: str) -> None:
    assert load_settings(CONFIG / name).platform.url


def test_all_errors_are_reported_together_with_the_nearest_known_name(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
platform: {url: ftp://x, token_env: A, token_file: b}
request: {rte: 3, rate: fast, timeout: 0}
colums: {}
columns: {Mail: emial}
fields: {nme: {}, custom_attributes.x: {typ: integer}}
""",
    )
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert (
        str(caught.value)
        == f"""{path}: 9 errors
  platform.url: start with http:// or https://, without user or password
  platform.token_command: give exactly one of token_env, token_file, token_command; found 2
  request.timeout: input should be greater than 0
  request.rate: write a rate like 3000/min or 50/s (or auto, or off)
  request.rte: unknown key; did you mean rate?
  columns.Mail: emial is not a field (did you mean email?)
  fields.nme: nme is not a field (did you mean name?)
  fields.custom_attributes.x.typ: unknown key; did you mean type?
  colums: unknown key; did you mean columns?"""
    )


def test_a_value_of_another_kind_is_reported_with_what_to_write() -> None:
    with pytest.raises(SettingsError) as caught:
        make_settings({
            "platform": {"url": "http://x", "token_env": 3},
            "request": {"retries": 1.5, "concurrency": "many", "batch_interval": "short", "verify_ssl": "maybe"},
            "fields": {"name": "keep"},
            "columns": ["name"],
            "limits": {"protect": None},
            "ledger": ["x"],
            "report": {"formats": "csv"},
            "diff": "remote",
        })  # fmt: skip
    assert set(caught.value.problems) == {
        "platform.token_env: write text, in quotes where it looks like a number",
        "platform.token_command: give exactly one of token_env, token_file, token_command; found 0",
        "request.retries: write a whole number",
        "request.concurrency: write a whole number",
        "request.batch_interval: write a number",
        "request.verify_ssl: write true or false",
        "fields.name: write keys with values, such as {key: value}",
        "columns: write keys with values, such as {key: value}",
        "limits.protect: write a list, such as [a, b]",
        "ledger: write the name of a file",
        "report.formats: write a list, such as [a, b]",
        "diff: write keys with values, such as {key: value}",
    }


def test_a_token_in_the_file_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="put it in an environment variable") as caught:
        make_settings({"platform": {**PLATFORM, "token": "tok-secret"}})
    assert "tok-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("platform: [", "while parsing"),
        ("- a", "not a mapping"),
        ("a: 1\na: 2", "duplicate key a"),
        ("columns: {true: id}", "the key True is not text; put it in quotes"),
    ],
)
def test_a_file_that_is_not_a_mapping_of_settings_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        load_settings(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("columns: {No: id}", {"No": "id"}, id="a heading that YAML 1.1 takes for false"),
        pytest.param(
            "columns: {2024-01-31: name}", {"2024-01-31": "name"}, id="a heading that YAML 1.1 takes for a day"
        ),
        pytest.param("source: {header_row: 010}", 10, id="a number that YAML 1.1 takes for an octal one"),
        pytest.param("source: {sheet: 2024.10}", "2024.10", id="a sheet named like a number"),
        pytest.param("request: {rate: off}", None, id="off, which YAML 1.1 takes for false"),
        pytest.param("request: {verify_ssl: no}", False, id="no for a setting that is true or false"),
        pytest.param("request: {verify_ssl: FALSE}", False, id="FALSE"),
        pytest.param("limits: {same_value: null}", None, id="null"),
    ],
)
def test_bare_words_are_read_by_their_setting(text: str, value: object, tmp_path: Path) -> None:
    settings = load_settings(written(tmp_path, f"platform: {{url: http://x, token_env: T}}\n{text}"))
    section = getattr(settings, text.partition(":")[0])
    name = text.partition("{")[2].partition(":")[0]
    assert getattr(section, name, section) == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("limits: {changes: true}", "limits.changes: cannot be true or false"),
        ("limits: {rows_percent: false}", "limits.rows_percent: cannot be true or false"),
        ("limits: {rows_percent: off}", "limits.rows_percent: write a number"),
        ("limits: {min_rows: no}", "limits.min_rows: write a whole number"),
        ("request: {concurrency: true}", "request.concurrency: cannot be true or false"),
        ("request: {stop_after: 5:00}", "request.stop_after: write a duration like"),
        ("request: {batch_interval: .inf}", "request.batch_interval: "),
        ("fields: {custom_attributes.a: {type: list, separator: ''}}", "fields.custom_attributes.a.separator: "),
    ],
)
def test_a_word_that_is_no_number_is_not_taken_for_one(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(written(tmp_path, f"platform: {{url: http://x, token_env: T}}\n{text}"))
    assert [problem.startswith(reason) for problem in caught.value.problems] == [True]


@pytest.mark.parametrize("section", ["request", "source", "columns", "fields", "diff", "limits", "report", "notify"])
def test_a_section_in_which_all_is_commented_out_is_an_empty_one(section: str, tmp_path: Path) -> None:
    platform = "platform: {url: http://x, token_env: T}\n"
    path = written(tmp_path, f"{platform}{section}:\n  # name: x\n")
    assert load_settings(path) == make_settings({"platform": PLATFORM | {"url": "http://x", "token_env": "T"}})
    assert load_settings(path, {"request": {"rate": "7/s"}}).request.rate == Rate(7, 1)


def test_blank_mappings_within_sections_are_empty_ones(tmp_path: Path) -> None:
    text = "platform: {url: http://x, token_env: T}\nfields: {name: }\nlimits: {fields: }\nmetrics:\n"
    settings = load_settings(written(tmp_path, text))
    assert (settings.fields["name"].blank, settings.limits.fields, settings.metrics) == ("keep", {}, None)


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "token").write_text("tok-secret")
    settings = make_settings({
        "platform": {"url": "http://x", "token_file": "~/token"},
        "ledger": "~/usersync.db",
        "report": {"dir": "~/runs"},
        "diff": {"compare_with": "~/yesterday.csv"},
    })  # fmt: skip
    assert settings.platform.token().get_secret_value() == "tok-secret"
    assert (settings.ledger, settings.report.dir) == (tmp_path / "usersync.db", tmp_path / "runs")
    assert settings.diff.compare_with == str(tmp_path / "yesterday.csv")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ledger", ""),
        ("ledger", " "),
        ("diff", {"compare_with": ""}),
        ("report", {"dir": ""}),
        ("platform", {"url": "http://x", "token_file": ""}),
        ("platform", {"url": "http://x", "token_env": ""}),
        ("platform", {"url": "http://x", "token_command": " "}),
        ("notify", {"webhook_env": ""}),
        ("notify", {"email": {"host": "", "from": "a@example.org", "to": "b@example.org"}}),
    ],
)
def test_a_blank_name_is_refused(name: str, value: object) -> None:
    with pytest.raises(SettingsError, match=r"write the name of a file|blank; write a value, or leave this line out"):
        make_settings({"platform": PLATFORM, name: value})


def test_a_message_keeps_the_spelling_of_what_it_repeats() -> None:
    with pytest.raises(SettingsError, match=r"columns.A: Name is not a field \(did you mean name\?\)"):
        make_settings({"platform": PLATFORM, "columns": {"A": "Name"}})


def test_a_missing_file_says_where_to_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"name one with -c, or start from config/usersync\.yaml"):
        load_settings(tmp_path / "none.yaml")


def test_a_folder_and_a_file_that_cannot_be_read_are_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="a folder, which only `run -c` takes; name a settings file"):
        load_settings(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("ledger: für.db".encode("latin-1"))
    with pytest.raises(SettingsError, match="not UTF-8; save the file in that encoding"):
        load_settings(tmp_path / "latin.yaml")
    with pytest.raises(SettingsError, match=r"the file cannot be read: Not a directory$"):
        load_settings(tmp_path / "latin.yaml" / "usersync.yaml")


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param("[" * 100_000, "nested deeper than 20 levels", id="100,000 brackets"),
        pytest.param("a: {" * 100_000, "nested deeper than 20 levels", id="100,000 braces"),
        pytest.param("- " * 100_000, "nested deeper than 20 levels", id="100,000 dashes"),
        pytest.param(BOMB, "more than 100,000 values once aliases are expanded", id="lists of aliases of lists"),
        pytest.param(MERGES, "more than 100,000 values once aliases are expanded", id="merges of merges"),
        pytest.param(f"{BOMB}? *g\n: 1", "more than 100,000 values", id="an alias bomb as a key"),
        pytest.param("a: &a [*a]", "an alias inside its own anchor", id="an alias of itself"),
        pytest.param("x" * (1 << 21), "larger than 1 MiB", id="two megabytes"),
        pytest.param('"a\\e]0;title\\a": 1', "a?]0;title?: unknown key", id="control characters in a key"),
        pytest.param(f"{'k' * 1000}: 1", "kkk...", id="an endless key"),
        pytest.param("".join(f"k{i}: 1\n" for i in range(3_000)), "and 2,901 more", id="3,000 unknown keys"),
        pytest.param("request: {retries: " + "1" * 5000 + "}", "exceeded maximum size", id="an endless number"),
    ],
)
def test_a_hostile_file_is_refused_briefly(text: str, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert reason in str(caught.value)
    assert max(map(len, caught.value.problems)) < 500
    assert str(caught.value).replace("\n", "").isprintable()


def test_aliases_may_be_used_to_repeat_settings(tmp_path: Path) -> None:
    text = "platform: {url: http://x, token_env: T}\nfields: {name: &blank {blank: reject}, email: *blank}"
    assert load_settings(written(tmp_path, text)).fields["email"].blank == "reject"


@pytest.mark.parametrize("name", ["a\\0b", "a\\ud800b"], ids=["NUL", "half a character"])
@pytest.mark.parametrize(
    "setting",
    [
        "ledger: {}",
        "report: {{dir: {}}}",
        "request: {{ca_file: {}}}",
        "metrics: {{file: {}}}",
        "diff: {{compare_with: {}}}",
    ],
)
def test_a_file_name_that_no_system_has_is_refused(setting: str, name: str, tmp_path: Path) -> None:
    platform = "platform: {url: http://x, token_env: T}\n"
    with pytest.raises(SettingsError) as caught:
        load_settings(written(tmp_path, platform + setting.format(f'"{name}"')))
    assert len(caught.value.problems) == 1
