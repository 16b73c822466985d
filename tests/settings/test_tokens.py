"""Test where tokens are read from, and which are refused."""

from pathlib import Path

import pytest

from usersync.errors import SettingsError
from usersync.settings import make_settings

PLATFORM = {"url": "http://127.0.0.1:1", "token_env": "USERSYNC_TOKEN"}


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
        ("token_file", "/no/such/file", "the token could not be read: /no/such/file: No such file or directory$"),
        ("token_command", "false", "the command ended with 1"),
        (
            "token_command",
            "no-such-command",
            "the token could not be read: no-such-command: No such file or directory$",
        ),
    ],
)
def test_a_missing_token_names_the_place_where_it_was_expected(kind: str, home: str, reason: str) -> None:
    settings = make_settings({"platform": {"url": PLATFORM["url"], kind: home}})
    with pytest.raises(SettingsError, match=reason):
        settings.platform.token()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param('"tok-secret"', "is in quotes; remove the quotes", id="in double quotes"),
        pytest.param("'tok-secret'", "is in quotes; remove the quotes", id="in single quotes"),
        pytest.param("tok-secret'", "is in quotes; remove the quotes", id="with one quote left over"),
        pytest.param("Bearer tok-secret", "begins with `Bearer`; give the token alone", id="with Bearer before it"),
        pytest.param("tok secret", "holds blanks or characters that no token has", id="with a blank in it"),
        pytest.param("tok-secret\nmore", "holds blanks or characters that no token has", id="two lines"),
        pytest.param("tok-sécret", "holds blanks or characters that no token has", id="with a letter beyond ASCII"),
        pytest.param(" \n", "there is no token in ", id="blank"),
    ],
)
def test_a_token_that_is_not_the_bare_token_is_explained_and_not_shown(text: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(text)
    settings = make_settings({"platform": {"url": "http://x", "token_file": str(tmp_path / "token")}})
    with pytest.raises(SettingsError, match=reason) as caught:
        settings.platform.token()
    assert "secret" not in str(caught.value)


def test_an_authorization_header_may_carry_a_bearer_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("Bearer tok-secret\n")
    platform = {"url": "http://x", "token_file": str(tmp_path / "token"), "token_header": "Authorization"}
    assert make_settings({"platform": platform}).platform.token().get_secret_value() == "Bearer tok-secret"


def test_the_account_token_is_read_like_the_platform_token_and_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWNER_TOKEN", "tok-secret")
    assert make_settings({"platform": PLATFORM}).platform.account_token() is None
    assert make_settings({"platform": {**PLATFORM, "account": 3}}).platform.account_token() is None
    settings = make_settings({"platform": {**PLATFORM, "account": 3, "account_token_env": "OWNER_TOKEN"}})
    token = settings.platform.account_token()
    assert token
    assert token.get_secret_value() == "tok-secret"
    assert "tok-secret" not in repr(settings)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"], ids=["as Notepad saves it", "as PowerShell redirects it"])
def test_a_token_file_of_windows_is_read_or_explained(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("tok-secret\r\n", encoding)
    platform = make_settings({"platform": {"url": "http://x", "token_file": str(tmp_path / "token")}}).platform
    if encoding == "utf-8-sig":
        assert platform.token().get_secret_value() == "tok-secret"
    else:
        with pytest.raises(SettingsError, match=r"token is not UTF-8; write it in that encoding"):
            platform.token()
