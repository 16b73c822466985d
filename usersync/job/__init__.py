"""Carry out the job that all commands share, from rows to report."""

from __future__ import annotations

from usersync.job.execute import carry_out, make_plan
from usersync.job.refusal import Confirm
from usersync.job.spec import Job

__all__ = ["Confirm", "Job", "carry_out", "make_plan"]
