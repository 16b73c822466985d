"""Prepare the rows of a stopped run to be planned or sent again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from usersync.ledger.run import LedgerRun
from usersync.models import json_text


def reopen(run: LedgerRun) -> None:
    """Let a stopped run go on: rows that were not sent are planned again, which includes those never compared.

    So are rows that waited for an address which another row did not give up, as far as was known.
    """
    with run.database.transaction():
        run.database.execute(
            "UPDATE run SET finished_at = NULL, exit_code = NULL, stopped = NULL, remembered = 0, planned_at = iif("
            "kind = 'run' AND EXISTS (SELECT 1 FROM row WHERE run = n AND status IN ('planned', 'not-sent')"
            " AND new = ''), NULL, planned_at) WHERE n = ?",
            (run.number,),
        )
        planned_at = run.database.first("SELECT planned_at FROM run WHERE n = ?", (run.number,))[0]
        run.info = replace(run.info, planned_at=planned_at)
        run.database.execute(
            "UPDATE row SET status = 'planned', code = '', message = '' WHERE run = ? AND (status = 'not-sent'"
            " OR status = 'rejected' AND code = 'blocked-by' AND depends_on IS NOT NULL)",
            (run.number,),
        )


def delete_rows(run: LedgerRun) -> None:
    """Delete the rows of a plan that was never completed."""
    with run.database.transaction():
        run.database.execute("DELETE FROM row WHERE run = ?", (run.number,))
        run.database.execute("DELETE FROM unchanged WHERE run = ?", (run.number,))


def keep_compared(run: LedgerRun) -> list[int]:
    """Delete the undecided rows of a plan that was never completed; returns the keys of the others."""
    with run.database.transaction():
        run.database.execute(
            "DELETE FROM row WHERE run = ? AND (duplicate_of IS NOT NULL OR status = 'rejected'"
            " OR status IN ('planned', 'not-sent') AND new = '')",
            (run.number,),
        )
        run.database.execute(
            "UPDATE row SET status = 'planned', message = '' WHERE run = ? AND status IN ('planned', 'not-sent')",
            (run.number,),
        )
    kept = [key for (key,) in run.database.all("SELECT key FROM row WHERE run = ?", (run.number,))]
    return kept + [span.key + n for span in run.unchanged_ranges() for n, _ in span.numbered_ids()]


def confirmed_since(run: LedgerRun) -> dict[int, tuple[str, set[str]]]:
    """Return the planned rows whose users a newer run found as its input wants them: key -> that run, and its fields.

    Of several newer runs, the last one counts.
    """
    found = run.database.all(
        "WITH confirmed (run, id) AS (SELECT run, id FROM row WHERE run > ?1 AND status = 'unchanged'"
        " UNION ALL SELECT run, value FROM unchanged, json_each(ids) WHERE run > ?1)"
        " SELECT row.key, newer.run, filled_fields FROM confirmed JOIN run AS newer ON newer.n = confirmed.run"
        " JOIN row ON row.run = ?1 AND row.id = confirmed.id AND row.status = 'planned'"
        " WHERE newer.platform = ?2 AND newer.kind NOT IN ('plan', 'undo') ORDER BY newer.n",
        (run.number, run.info.platform),
    )
    return {key: (name, set(json.loads(fields))) for key, name, fields in found}


def reset_to_planned(run: LedgerRun, users: Iterable[int]) -> None:
    """Set failed rows back to planned if their requests never reached the platform's API."""
    run.flush()
    run.database.execute(
        "UPDATE row SET status = 'planned', code = '', message = '', attempts = 0 WHERE run = ? AND status = 'failed'"
        " AND code = 'platform-error' AND id IN (SELECT CAST(value AS TEXT) FROM json_each(?))",
        (run.number, json_text(list(users))),
    )
