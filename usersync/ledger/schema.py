"""The tables of the ledger, and how our nouns become their rows and back."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from usersync.errors import StoppedError
from usersync.models import (
    MASK,
    SECRET_FIELDS,
    UNKNOWN,
    Change,
    Entry,
    FieldChange,
    Json,
    Outcome,
    Status,
    User,
)

SCHEMA_VERSION = 2
SCHEMA = """
CREATE TABLE run (
  n INTEGER PRIMARY KEY,
  run TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,            -- run, apply, undo, update
  parent TEXT,                   -- the run that this one goes on with, or undoes
  started_at TEXT NOT NULL,
  finished_at TEXT,
  started_by TEXT NOT NULL,      -- user@host
  platform TEXT NOT NULL,
  settings TEXT NOT NULL,        -- JSON, without secrets
  sources TEXT NOT NULL,         -- JSON: file, sheet, sha256 of each source
  choice TEXT NOT NULL,          -- JSON: where, skip, limit
  overrides TEXT NOT NULL DEFAULT '[]',
  filled TEXT NOT NULL DEFAULT '[]',      -- JSON: the fields of the input that held any value
  planned_at TEXT,               -- when the plan was whole; before that nothing was sent
  claimed_turn INTEGER NOT NULL DEFAULT 0,  -- rows up to this turn and key may have been sent
  claimed_key INTEGER NOT NULL DEFAULT -1,
  exit_code INTEGER,
  stopped TEXT
);
CREATE TABLE row (
  run INTEGER NOT NULL REFERENCES run(n) ON DELETE CASCADE,
  key INTEGER NOT NULL,          -- position in the input
  source INTEGER NOT NULL,       -- position in run.sources
  row INTEGER NOT NULL,
  user TEXT NOT NULL,
  status TEXT NOT NULL,
  sent INTEGER NOT NULL DEFAULT 0,  -- 1 once a request for it has gone out
  twin_of INTEGER,
  turn INTEGER NOT NULL DEFAULT 0,  -- rows of turn 1 wait for those of turn 0, and so on
  waits_for INTEGER,             -- key of the row that must give up its e-mail first
  aside TEXT,                    -- the address that the user gets for a moment, to open a ring of e-mails
  changed TEXT NOT NULL DEFAULT '',       -- field names, ;-separated
  old TEXT NOT NULL DEFAULT '', new TEXT NOT NULL DEFAULT '',  -- JSON of these fields; a password is ***
  note TEXT NOT NULL DEFAULT '',
  code TEXT NOT NULL DEFAULT '', message TEXT NOT NULL DEFAULT '',
  http_status INTEGER, attempts INTEGER NOT NULL DEFAULT 0,
  name TEXT, display_name TEXT, email TEXT, custom_attributes TEXT NOT NULL DEFAULT '',  -- as the platform answered
  finished_at TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (run, key)
) WITHOUT ROWID;
CREATE TABLE known (             -- what the platform last confirmed to us
  platform TEXT NOT NULL,
  user INTEGER NOT NULL,
  name TEXT, display_name TEXT, email TEXT, custom_attributes TEXT NOT NULL,
  written TEXT NOT NULL,         -- JSON: field -> the value that we wrote last; a password is ***
  PRIMARY KEY (platform, user)
) WITHOUT ROWID;
"""
UPGRADES = {
    1: (
        "ALTER TABLE run ADD COLUMN claimed_turn INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE run ADD COLUMN claimed_key INTEGER NOT NULL DEFAULT -1",
        "ALTER TABLE row ADD COLUMN aside TEXT",
    ),
}
"""Version of a ledger -> what brings it to the next one."""
IN_FLIGHT = (
    "status = 'planned' AND twin_of IS NULL AND (sent = 1 OR (turn, key) <= (SELECT claimed_turn, claimed_key"
    " FROM run WHERE n = row.run))"
)
"""Rows that may have been sent, and of which no answer came in."""
ROWS_ASIDE = "CREATE TEMP TABLE " + SCHEMA[SCHEMA.index("row (") : SCHEMA.index("CREATE TABLE known")].replace(
    " REFERENCES run(n) ON DELETE CASCADE", ""
)
"""A table of rows that goes with its connection; it stands before the ledger's own."""
INSERT = (
    "INSERT INTO row (run, key, source, row, user, status, twin_of, changed, old, new, note, code, message,"
    " http_status, attempts, finished_at, name, display_name, email, custom_attributes)"
    f" VALUES ({', '.join('?' * 20)})"
)
OUTCOME = (
    "UPDATE row SET sent = ?, status = ?, code = ?, message = ?, http_status = ?, attempts = ?, name = ?,"
    " display_name = ?, email = ?, custom_attributes = ?, finished_at = ? WHERE run = ? AND key = ?"
)


@contextmanager
def together(db: sqlite3.Connection) -> Iterator[None]:
    """Do all of it or nothing; StoppedError where the disk is full or the ledger cannot be written."""
    try:
        db.execute("BEGIN IMMEDIATE")  # a read that becomes a write would not wait for another run
        yield
        db.execute("COMMIT")
    except BaseException as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        if isinstance(error, sqlite3.OperationalError):
            raise StoppedError(
                f"the ledger cannot be written: {error}; make room, then run `usersync resume`"
            ) from None
        raise


text = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def entry_of(row: Mapping[str, Json]) -> Entry:
    """Make an entry from a row of a saved plan."""
    new = {name: MASK if name in SECRET_FIELDS else value for name, value in row["new"].items()}
    fields = tuple(FieldChange(name, row["old"].get(name, UNKNOWN), value) for name, value in new.items())
    change = Change(row["key"], int(row["user"]), fields) if fields else None
    text = row["message"] or row["note"]
    outcome = Outcome(row["key"], Status(row["status"]), http_status=row["http_status"])
    places = (row["key"], row["source"], row["row"], row["user"], Status(row["status"]))
    return Entry(*places, change, row["code"], text, outcome, row["twin_of"])


def answered(user: User | None) -> tuple[str | None, str | None, str | None, str]:
    """Give the columns of what the platform answered."""
    if user is None:
        return None, None, None, ""
    return user.name, user.display_name, user.email, text(user.custom_attributes)


def sides(change: Change) -> tuple[str, str, str]:
    """Give the changed fields, their old and their new values, as text."""
    old = {f.field: f.old for f in change.fields if f.old is not UNKNOWN}
    new = {f.field: MASK if f.field in SECRET_FIELDS else f.new for f in change.fields}
    return ";".join(new), text(old), text(new)


def change_of(key: int, user: str, old: str, new: str) -> Change:
    """Make a change from its columns; secrets are masked."""
    before: Json = json.loads(old) if old != "{}" else {}
    after: Json = json.loads(new)
    return Change(
        key,
        int(user),
        tuple(FieldChange(name, before.get(name, UNKNOWN), value) for name, value in after.items()),
    )
