"""Define the tables of the ledger and the upgrades of older ones."""

from __future__ import annotations

import json

from usersync.models import SECRET_FIELDS, json_text

SCHEMA_VERSION = 4
_ROW_TABLE = """row (
  run INTEGER NOT NULL REFERENCES run(n) ON DELETE CASCADE,
  key INTEGER NOT NULL,          -- position in the input
  source INTEGER NOT NULL,       -- position in run.sources
  row INTEGER NOT NULL,          -- as the spreadsheet numbers it
  id TEXT NOT NULL,              -- of the user
  status TEXT,                   -- models.Status; NULL: the row ends as `duplicate_of` does
  duplicate_of INTEGER,          -- key of the row that this one repeats
  wave INTEGER NOT NULL DEFAULT 0,        -- rows of wave 1 are sent after those of wave 0, and so on
  depends_on INTEGER,            -- key of the row that must give up its e-mail address first
  placeholder TEXT,              -- the address that the user gets for a moment, so that an e-mail swap can begin
  changed TEXT NOT NULL DEFAULT '',       -- field names, ;-separated
  old TEXT NOT NULL DEFAULT '',  -- JSON of these fields
  new TEXT NOT NULL DEFAULT '',  -- JSON of these fields; a password is ***
  note TEXT NOT NULL DEFAULT '',
  code TEXT NOT NULL DEFAULT '',
  message TEXT NOT NULL DEFAULT '',
  http_status INTEGER,
  attempts INTEGER NOT NULL DEFAULT 0,
  name TEXT,                     -- as the platform last answered; so are the next three
  display_name TEXT,
  email TEXT,
  custom_attributes TEXT NOT NULL DEFAULT '',
  finished_at TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (run, key)
) WITHOUT ROWID"""
_UNCHANGED_TABLE = """unchanged (  -- rows that ask for what their users hold: see ledger.unchanged.UnchangedRange
  run INTEGER NOT NULL REFERENCES run(n) ON DELETE CASCADE,
  key INTEGER NOT NULL,          -- of the first row; `row` as well
  source INTEGER NOT NULL,
  row INTEGER NOT NULL,
  note TEXT NOT NULL,
  ids TEXT NOT NULL,             -- JSON list
  PRIMARY KEY (run, key)
) WITHOUT ROWID"""
_SNAPSHOT_TABLES = """CREATE TABLE snapshot (            -- what the platform last confirmed of its users
  platform TEXT NOT NULL,
  user INTEGER NOT NULL,
  name TEXT,
  display_name TEXT,
  email TEXT,
  custom_attributes TEXT NOT NULL,
  seen_at TEXT NOT NULL,
  PRIMARY KEY (platform, user)
) WITHOUT ROWID;
CREATE TABLE written (             -- the value that usersync last wrote, by field
  platform TEXT NOT NULL,
  user INTEGER NOT NULL,
  field TEXT NOT NULL,
  value TEXT NOT NULL,           -- JSON
  run INTEGER NOT NULL,
  sent_at TEXT NOT NULL,
  PRIMARY KEY (platform, user, field)
) WITHOUT ROWID"""
SCHEMA = f"""
CREATE TABLE run (
  n INTEGER PRIMARY KEY,
  run TEXT NOT NULL UNIQUE,
  kind TEXT NOT NULL,            -- run, plan, apply, undo, update
  parent TEXT,                   -- the plan that this run applies, or the run that it undoes
  started_at TEXT NOT NULL,
  finished_at TEXT,
  started_by TEXT NOT NULL,      -- user@host
  platform TEXT NOT NULL,
  settings TEXT NOT NULL,        -- JSON, without secrets
  sources TEXT NOT NULL,         -- JSON: file, sheet, sha256 of each source
  options TEXT NOT NULL,         -- JSON: where, skip, limit
  overrides TEXT NOT NULL DEFAULT '[]',
  filled_fields TEXT NOT NULL DEFAULT '[]',  -- JSON: the fields of the input that held any value
  planned_at TEXT,               -- when the plan was complete; nothing is sent before
  exit_code INTEGER,
  stopped TEXT,                  -- why it ended early
  rows_read INTEGER,             -- data rows of the files; NULL: the rows come from no file
  remembered INTEGER NOT NULL DEFAULT 0    -- 1: its results are in `snapshot` and `written`
);
CREATE TABLE {_ROW_TABLE};
CREATE TABLE {_UNCHANGED_TABLE};
{_SNAPSHOT_TABLES};
"""
#: Finds a run with invalid JSON, which SQLite does not check by itself.
DAMAGED_RUNS = "SELECT run FROM run WHERE {} LIMIT 1".format(
    " OR ".join(
        f"NOT json_valid({column}) OR json_type({column}) <> '{kind}'"
        for column, kind in (
            ("settings", "object"), ("sources", "array"), ("options", "object"), ("overrides", "array"),
            ("filled_fields", "array"),
        )
    )
)  # fmt: skip
#: Tables of rows that are gone with their connection; they hide the ledger's own.
TEMPORARY_ROWS = tuple(
    f"CREATE TEMP TABLE {table.replace(' REFERENCES run(n) ON DELETE CASCADE', '')}"
    for table in (_ROW_TABLE, _UNCHANGED_TABLE)
)

#: What SQLite calls `exact_number`, which it lacks: it rounds numbers to 15 digits.
EXACT_NUMBER = "exact_number"


def exact_number(json_object: str, key: str) -> str:
    """Return a number of a JSON object as JSON text."""
    return json_text(json.loads(json_object)[key])


def json_value(json_object: str) -> str:
    """Return an SQL expression for the value of a json_each of `json_object` that is named `item`, as JSON text."""
    return (
        "CASE item.type WHEN 'object' THEN item.value WHEN 'array' THEN item.value WHEN 'null' THEN 'null'"
        " WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE iif(typeof(item.value) = 'real',"
        f" {EXACT_NUMBER}({json_object}, item.key), json_quote(item.value)) END"
    )


_IN_FLIGHT_BEFORE_3 = (
    "old.status = 'planned' AND (old.sent = 1 OR (old.turn, old.key) <= (SELECT claimed_turn, claimed_key"
    " FROM run WHERE n = old.run) OR old.aside IS NOT NULL AND (SELECT planned_at FROM run WHERE n = old.run) <> '')"
    " OR old.status = 'not-sent' AND old.aside IS NOT NULL"
)
_TO_VERSION_3 = f"""
ALTER TABLE row RENAME TO old;
CREATE TABLE {_ROW_TABLE};
INSERT INTO row SELECT run, key, source, row, user,
  CASE WHEN twin_of IS NOT NULL THEN NULL WHEN {_IN_FLIGHT_BEFORE_3} THEN 'sending' ELSE status END,
  twin_of, turn, waits_for, aside, changed, old, new, note, code, message, http_status, attempts,
  name, display_name, email, custom_attributes, finished_at FROM old;
DROP TABLE old;
ALTER TABLE run RENAME COLUMN choice TO options;
ALTER TABLE run RENAME COLUMN filled TO filled_fields;
ALTER TABLE run DROP COLUMN claimed_turn;
ALTER TABLE run DROP COLUMN claimed_key;
ALTER TABLE run ADD COLUMN rows_read INTEGER;
ALTER TABLE run ADD COLUMN remembered INTEGER NOT NULL DEFAULT 0;
UPDATE run SET remembered = 1 WHERE finished_at IS NOT NULL;
UPDATE run SET rows_read = (SELECT count(*) FROM row WHERE row.run = run.n)
  WHERE kind IN ('run', 'apply') AND json_extract(options, '$.limit') IS NULL;
{_SNAPSHOT_TABLES};
INSERT INTO snapshot SELECT platform, user, name, display_name, email, custom_attributes, '' FROM known;
INSERT INTO written SELECT platform, user, item.key, {json_value("written")}, 0, ''
  FROM known, json_each(written) AS item
  WHERE item.key NOT IN ({", ".join(repr(name) for name in sorted(SECRET_FIELDS))});
DROP TABLE known
"""
#: Version of a ledger -> the statements that bring it to the next version.
UPGRADES = {
    1: (
        "ALTER TABLE run ADD COLUMN claimed_turn INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE run ADD COLUMN claimed_key INTEGER NOT NULL DEFAULT -1",
        "ALTER TABLE row ADD COLUMN aside TEXT",
    ),
    2: tuple(_TO_VERSION_3.strip().split(";\n")),
    3: (f"CREATE TABLE {_UNCHANGED_TABLE}",),
}

#: The one way to read rows, beside ranges of unchanged ones: a duplicate ends as its first row does, and states in
#: between have a public status.
READ_ROWS = """
SELECT row.run, row.key, row.source, row.row, row.id,
  CASE coalesce(row.status, first.status) WHEN 'sending' THEN 'unknown' WHEN 'reverting' THEN 'unknown'
    WHEN 'parked' THEN 'not-sent' ELSE coalesce(row.status, first.status, 'not-sent') END AS status,
  coalesce(first.changed, row.changed) AS changed, coalesce(first.old, row.old) AS old,
  coalesce(first.new, row.new) AS new, coalesce(first.code, row.code) AS code,
  coalesce(first.message, row.message) AS message, row.note,
  iif(row.duplicate_of IS NULL, row.http_status, first.http_status) AS http_status, row.attempts,
  iif(row.duplicate_of IS NULL, row.name, first.name) AS name,
  iif(row.duplicate_of IS NULL, row.display_name, first.display_name) AS display_name,
  iif(row.duplicate_of IS NULL, row.email, first.email) AS email,
  coalesce(first.custom_attributes, row.custom_attributes) AS custom_attributes,
  coalesce(first.finished_at, row.finished_at) AS finished_at,
  row.duplicate_of, row.wave, row.depends_on, row.placeholder
FROM row LEFT JOIN row AS first ON first.run = row.run AND first.key = row.duplicate_of
"""
