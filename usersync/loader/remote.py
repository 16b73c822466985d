"""Fetch a file from an address such as `s3://bucket/users.csv`."""

from __future__ import annotations

import re

from usersync.errors import SourceError

#: User, password and query: signed addresses carry their tokens there.
_SECRET = re.compile(r"(?<=://)[^/?#]*@|[?#].*")
_PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "sftp": "paramiko", "ssh": "paramiko", "http": "aiohttp"}


def is_remote(file: str) -> bool:
    """Return whether a file is named by an address."""
    return "://" in file


def without_secrets(file: str) -> str:
    """Return an address without user, password and query, as it may be shown; a path unchanged."""
    return "::".join(_SECRET.sub("", part) for part in file.split("::")) if is_remote(file) else file


def fetch(address: str) -> bytes:
    """Read a remote file in one request; SourceError, without a secret, where that cannot be done."""
    shown, protocol = without_secrets(address), address.partition("://")[0]
    try:
        from fsspec.core import url_to_fs  # an extra
    except ImportError:
        raise SourceError(shown, "addresses need fsspec; run pip install 'usersync[remote]'") from None
    try:
        filesystem, path = url_to_fs(address)
        return bytes(filesystem.cat_file(path))  # in one request, where `open` asks for the size first
    except ImportError:
        package = _PACKAGES.get(protocol, f"the package that fsspec needs for {protocol}")
        raise SourceError(shown, f"{protocol}:// needs one more package; run pip install {package}") from None
    except FileNotFoundError:
        raise SourceError(shown, "there is no such file") from None
    except Exception as error:  # each protocol has errors of its own, and their texts may quote the address
        status = getattr(error, "status", None)
        what = f"{type(error).__name__} {status}" if status else type(error).__name__
        raise SourceError(
            shown,
            f"cannot be read ({what}); check the address, and that its credentials are in the environment: "
            "those in an address are not kept for `apply` and `resume`",
        ) from None
