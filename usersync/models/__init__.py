"""Define the values that pass between the stages of a run.

A row carries its *key*, its position in the input, through all of them.
"""

from __future__ import annotations

from usersync.models.fields import ATTRIBUTE, CLEAR, FIELDS, MASK, NEW_EMAIL, SECRET_FIELDS, UNKNOWN, Json, json_text
from usersync.models.problem import Place, Problem, ProblemGroup
from usersync.models.row import ALTERED, FieldChange, Result, Row, User, attribute_of, encode_changes, value_of
from usersync.models.status import OWNERS, Code, Owner, Status, owner_of
from usersync.models.time_slice import TimeSlice

__all__ = [
    "ALTERED",
    "ATTRIBUTE",
    "CLEAR",
    "FIELDS",
    "MASK",
    "NEW_EMAIL",
    "OWNERS",
    "SECRET_FIELDS",
    "UNKNOWN",
    "Code",
    "FieldChange",
    "Json",
    "Owner",
    "Place",
    "Problem",
    "ProblemGroup",
    "Result",
    "Row",
    "Status",
    "TimeSlice",
    "User",
    "attribute_of",
    "encode_changes",
    "json_text",
    "owner_of",
    "value_of",
]
