"""Read files of user changes into one table."""

from usersync.loader.load import EXAMPLE, load

__all__ = ["EXAMPLE", "load"]
