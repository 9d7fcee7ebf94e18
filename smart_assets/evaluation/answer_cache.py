"""What a model answered before, so that an interrupted evaluation goes on and a repeated one asks nothing.

The last digits of an answer depend on the rows that were computed with it (sums are split by the shape of the batch).
So what is remembered is the answers of a whole batch, under a hash of all that the model was given in it: an evaluation
comes to the same bytes whether it remembers or computes. A file belongs to one model, in JSON under SQLite, which keeps
two processes at once and a kill at any moment from harming it. Whatever is wrong with the file only costs time.
"""

import json
import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from smart_assets.core.progress import Log
from smart_assets.store.hashing import json_version

_PATIENCE = 60.0  # seconds to wait for another process to finish writing
_TABLE = "CREATE TABLE IF NOT EXISTS answers (batch TEXT PRIMARY KEY, answers TEXT NOT NULL) WITHOUT ROWID"


class AnswerCache:
    """The batches that one model answered; without a file it remembers nothing."""

    def __init__(self, file: Path | None, log: Log) -> None:
        self.remembered = self.computed = 0  # batches
        self._log = log
        self._connection = None if file is None else self._open(file)

    def recall(self, asked: Any) -> list[Any] | None:
        """Return the answers to a batch (any JSON value that stands for all of it), or None."""
        row = self._execute("SELECT answers FROM answers WHERE batch = ?", (json_version(asked),))
        with suppress(ValueError):
            answers: Any = json.loads(row[0]) if row else None
            if isinstance(answers, list):
                self.remembered += 1
                return cast("list[Any]", answers)
        return None

    def remember(self, asked: Any, answers: Sequence[Any]) -> None:
        """Keep the answers to a batch, at once and for good."""
        self.computed += 1
        values = (json_version(asked), json.dumps(answers))
        self._execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", values)

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _open(self, file: Path) -> sqlite3.Connection | None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                return _connect(file)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:  # no database at all, or a damaged one
                self._log(f"{file}: is damaged; what the model answered before is forgotten")
                file.unlink()
                return _connect(file)
        except (sqlite3.Error, OSError) as error:
            self._log(f"{file}: cannot be used ({error}), so that answers are not remembered")
            return None

    def _execute(self, statement: str, values: tuple[str, ...]) -> Any:
        if self._connection is None:
            return None
        try:
            return self._connection.execute(statement, values).fetchone()
        except sqlite3.Error as error:
            self._log(f"what the model answered is not remembered from here on: {error}")
            self.close()
            return None


def _connect(file: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None)  # every statement is committed
    try:
        connection.execute(_TABLE)
    except sqlite3.Error:
        connection.close()
        raise
    os.utime(file)  # reading counts as use too: `smart gc` goes by it
    return connection
