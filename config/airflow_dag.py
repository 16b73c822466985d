"""The nightly run as an Airflow DAG (2.4 or newer): what comes next depends on the exit code."""

import subprocess
from datetime import datetime, timedelta

from airflow.decorators import dag, task
from airflow.exceptions import AirflowException, AirflowFailException

PROGRAM = "/opt/usersync/bin/usersync"
FOLDER = "/var/lib/usersync"  # usersync.yaml, the ledger and the reports; every worker must see it
NEXT = {0: "all_is_well", 1: "rows_need_a_person", 4: "go_on", 130: "go_on", 143: "go_on"}


def usersync(*words: str) -> int:
    """Run a command that asks nobody; gives its exit code, and shows in the task's log what it said."""
    return subprocess.run([PROGRAM, *words, "--yes", "-q", "--lock-wait", "10m"], cwd=FOLDER).returncode


@dag(schedule="30 2 * * *", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1, tags=["usersync"])
def usersync_nightly() -> None:
    """Send the night's changes; then go on, or call whoever must act."""

    @task.branch(retries=0)  # no blind repetition: what may be repeated, `resume` knows
    def send() -> str:
        return NEXT.get(usersync("run", "changes.xlsx", "--max-duration", "4h"), "call_the_operator")

    @task(retries=3, retry_delay=timedelta(minutes=15))
    def go_on() -> None:
        code = usersync("resume", "--max-duration", "2h")
        if code:  # stopped again: the next try goes on from there; anything else is not tried again
            raise (AirflowException if NEXT.get(code) == "go_on" else AirflowFailException)(f"resume: exit {code}")

    @task
    def all_is_well() -> None: ...

    @task
    def call(whom_and_why: str) -> None:
        raise AirflowFailException(whom_and_why)

    people = call.override(task_id="rows_need_a_person")("correct the newest run's rejects, and send those")
    operator = call.override(task_id="call_the_operator")("refused, locked or misconfigured; see the log of `send`")
    send() >> [all_is_well(), go_on(), people, operator]


usersync_nightly()
