"""Check how a settings file is read, and that all its errors are reported together."""

from pathlib import Path

import pytest

from usersync.errors import SettingsError
from usersync.settings import Rate, load_settings, make_settings, parse_duration, parse_rate

CONFIG = Path(__file__).parents[2] / "config"
PLATFORM = {"url": "http://127.0.0.1:1", "token_env": "USERSYNC_TOKEN"}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "usersync.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["usersync.yaml", "sandbox.yaml"])
def test_the_settings_files_in_config_are_valid(name: str) -> None:
    assert load_settings(CONFIG / name).platform.url


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("3000/min", Rate(3000, 60)),
        ("50/s", Rate(50, 1)),
        ("7/3s", Rate(7, 3)),
        ("1 / h", Rate(1, 3600)),
        ("off", None),
    ],
)
def test_a_rate_is_read_as_count_and_seconds(text: str, rate: Rate | None) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["0/s", "5", "5 per second", "-1/s", "5/0s", 50, True])
def test_a_malformed_rate_is_refused_with_an_example(text: object) -> None:
    with pytest.raises(ValueError, match="like 3000/min"):
        parse_rate(text)


@pytest.mark.parametrize(("text", "seconds"), [(30, 30), ("90s", 90), ("10m", 600), ("2h", 7200), ("1.5", 1.5)])
def test_a_duration_is_read_as_seconds(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


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
        ("columns: {No: id}", "the key False is not text; put it in quotes"),
    ],
)
def test_a_file_that_is_not_a_mapping_of_settings_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        load_settings(written(tmp_path, text))


def test_a_missing_file_says_where_to_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"name one with -c, or start from config/usersync\.yaml"):
        load_settings(tmp_path / "none.yaml")


@pytest.mark.parametrize("kind", ["token_env", "token_file", "token_command"])
def test_the_token_is_read_from_its_place_and_never_shown(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_HERE", "tok-secret")
    (tmp_path / "token").write_text("tok-secret\n")
    home = {
        "token_env": "TOKEN_HERE",
        "token_file": str(tmp_path / "token"),
        "token_command": "printf tok-%s secret",
    }
    settings = make_settings({"platform": {"url": PLATFORM["url"], kind: home[kind]}})
    assert settings.platform.token().get_secret_value() == "tok-secret"
    assert "tok-secret" not in repr(settings)


@pytest.mark.parametrize(
    ("kind", "home", "reason"),
    [
        ("token_env", "NO_SUCH_VARIABLE", "the environment variable NO_SUCH_VARIABLE; set it and run again"),
        ("token_file", "/no/such/file", "the token could not be read"),
        ("token_command", "false", "the command ended with 1"),
        ("token_command", "no-such-command", "the token could not be read"),
    ],
)
def test_a_missing_token_names_the_place_where_it_was_expected(kind: str, home: str, reason: str) -> None:
    settings = make_settings({"platform": {"url": PLATFORM["url"], kind: home}})
    with pytest.raises(SettingsError, match=reason):
        settings.platform.token()
