"""Run usersync every night as an Airflow DAG (2.4 or newer); what follows depends on the exit code."""

import subprocess
from datetime import datetime

from airflow.decorators import dag, task
from airflow.exceptions import AirflowFailException

PROGRAM = "/opt/usersync/bin/usersync-nightly"  # config/nightly.sh; it resumes interrupted runs itself
FOLDER = "/var/lib/usersync"  # usersync.yaml, the ledger and the reports; every worker must see it
FOLLOWING = {0: "all_is_well", 1: "rows_need_a_person"}


@dag(schedule="30 2 * * *", start_date=datetime(2026, 1, 1), catchup=False, max_active_runs=1, tags=["usersync"])
def usersync_nightly() -> None:
    """Send the night's changes; then finish, or call whoever has to act."""

    @task.branch(retries=0)  # the program knows what may be repeated
    def send() -> str:
        code = subprocess.run([PROGRAM, "changes.xlsx"], cwd=FOLDER).returncode
        return FOLLOWING.get(code, "call_the_operator")

    @task
    def all_is_well() -> None: ...

    @task
    def call(whom_and_why: str) -> None:
        raise AirflowFailException(whom_and_why)

    people = call.override(task_id="rows_need_a_person")("correct the newest run's rejects, and send those")
    operator = call.override(task_id="call_the_operator")("stopped, refused or misconfigured; see the log of `send`")
    send() >> [all_is_well(), people, operator]


usersync_nightly()
