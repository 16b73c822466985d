#!/bin/sh
# The nightly job for cron, systemd and CI: `usersync-nightly changes.xlsx`; install it as
# /opt/usersync/bin/usersync-nightly.
#
# A run that was interrupted earlier (by a kill or a power cut) is completed first. A run that is interrupted now
# (exit 4, a signal, a kill, rows whose outcome is unknown) is resumed after a pause, up to three times. Without a file
# it only completes what was interrupted. It prints nothing if all is well; its exit code is that of the last command.
set -u

interrupted() { # whether the newest run can be resumed
  usersync runs --json 2>/dev/null | grep -m 1 '"resumable"' | grep -q true
}
resume() {
  usersync resume --yes -q --lock-wait 10m --max-duration 2h
}

code=0
if interrupted; then
  resume || code=$?
fi
[ $# -gt 0 ] || exit $code

code=0
usersync run "$@" --yes -q --lock-wait 10m --max-duration 4h || code=$?
for _ in 1 2 3; do
  { [ $code = 1 ] || [ $code = 4 ] || [ $code -ge 128 ]; } && interrupted || break
  sleep 900
  code=0
  resume || code=$?
done
exit $code
