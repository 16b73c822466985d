#!/bin/sh
# The nightly job for cron, systemd and CI: `usersync-nightly changes.xlsx`; install it as
# /opt/usersync/bin/usersync-nightly.
#
# Runs that were interrupted earlier (by a kill or a power cut) are completed first. A run that is interrupted now
# (exit 4, a signal, a kill, rows whose outcome is unknown) is resumed after a pause, up to three times. Without a file
# it only completes what was interrupted. It prints nothing if all is well; its exit code is that of the night's run
# or, where that is 0, of what was completed first.
set -u

resume() {
  usersync resume "$@" --yes -q --lock-wait 10m --max-duration 2h
}
interrupted() { # whether the newest run can be resumed
  usersync runs --json 2>/dev/null | grep -m 1 '"resumable"' | grep -q true
}

earlier=0
resume --all || earlier=$?
[ $# -gt 0 ] || exit $earlier

code=0
usersync run "$@" --yes -q --lock-wait 10m --max-duration 4h || code=$?
for _ in 1 2 3; do
  { [ $code = 1 ] || [ $code = 4 ] || [ $code -ge 128 ]; } && interrupted || break
  sleep 900
  code=0
  resume || code=$?
done
[ $code != 0 ] || code=$earlier
exit $code
