"""Record runs and their rows in SQLite."""

from usersync.ledger.ledger import Ledger
from usersync.ledger.report_cells import Cells
from usersync.ledger.run import LedgerRun
from usersync.ledger.run_info import RunInfo
from usersync.ledger.unchanged import UnchangedRange
from usersync.ledger.unsent import UnsentRows
from usersync.ledger.waves import Waves

__all__ = ["Cells", "Ledger", "LedgerRun", "RunInfo", "UnchangedRange", "UnsentRows", "Waves"]
