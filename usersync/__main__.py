"""Run the command line as `python -m usersync`."""

from usersync.cli import main

main()
