"""Test which settings of the platform are accepted, and its normalized address."""

import pytest

from usersync.errors import SettingsError
from usersync.settings import make_settings


def platform(**settings: object) -> dict[str, object]:
    return {"platform": {"url": "http://x", "token_env": "T", **settings}}


@pytest.mark.parametrize(
    ("url", "normalized"),
    [
        ("https://Chat.Example.ORG", "https://chat.example.org"),
        ("HTTPS://chat.example.org/", "https://chat.example.org"),
        ("https://chat.example.org:443", "https://chat.example.org"),
        ("http://LOCALHOST:80/", "http://localhost"),
        ("https://chat.example.org:0443/Sub/", "https://chat.example.org/Sub"),
        ("http://chat.example.org:443", "http://chat.example.org:443"),
        ("http://[::1]:80", "http://[::1]"),
        ("http://[FE80::1]:8080/a", "http://[fe80::1]:8080/a"),
        ("http://127.0.0.1:8400", "http://127.0.0.1:8400"),
        ("http://chat.example.org:", "http://chat.example.org"),
    ],
)
def test_one_platform_has_one_address_however_it_is_written(url: str, normalized: str) -> None:
    assert make_settings(platform(url=url)).platform.url == normalized


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        pytest.param({"path": "/users/{id} "}, "remove blanks", id="a path with a blank"),
        pytest.param({"path": "/users/{id}\n"}, "remove blanks", id="a path with a line end"),
        pytest.param({"path": "/users/{id}\tx"}, "remove blanks", id="a path with a tabulator"),
        pytest.param({"path": "/benutzer-ä/{id}"}, "remove blanks", id="a path with a letter beyond ASCII"),
        pytest.param({"path": "/users/{id}#x"}, "remove blanks", id="a path with a fragment"),
        pytest.param({"path": "users/{id}"}, "start with /", id="a path without a slash"),
        pytest.param({"path": "/users/"}, "name {id} once", id="a path without an id"),
        pytest.param({"token_header": "Host"}, "Host cannot carry a token", id="the header Host"),
        pytest.param({"token_header": "content-length"}, "cannot carry a token", id="the header Content-Length"),
        pytest.param({"token_header": "a b"}, "pattern", id="a header with a blank"),
        pytest.param({"url": "http://x\x00y"}, "characters that no address has", id="NUL in the address"),
        pytest.param({"url": "http://user:password@x"}, "without user or password", id="a password in the address"),
        pytest.param({"account": 0}, "platform.account", id="an account below 1"),
        pytest.param({"account": "3; x"}, "platform.account", id="an account that is not a number"),
        pytest.param({"account_token_env": "T"}, "name the account", id="an account's token without an account"),
        pytest.param(
            {"account": 3, "account_token_env": "A", "account_token_file": "b"},
            "give only one of account_token_env",
            id="two account tokens",
        ),
        pytest.param({"account_token": "tok"}, "account_token_env: NAME", id="an account's token in the file"),
        pytest.param({"directory_max_bytes": 0}, "directory_max_bytes", id="a directory of no bytes"),
    ],
)
def test_a_wrong_platform_setting_is_explained(wrong: dict[str, object], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as caught:
        make_settings(platform(**wrong))
    assert len(caught.value.problems) == 1


def test_the_list_of_an_account_may_have_64_mib() -> None:
    assert make_settings(platform(account="3")).platform.account == 3
    assert make_settings(platform()).platform.directory_max_bytes == 64 * 1024 * 1024
