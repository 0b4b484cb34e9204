"""A source: each row of a table of an SQLite database is an item.

{"plugin": {"name": "sqlite", "config": {"file": "/data/reviews.db", "table": "reviews"}}}
"""

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from stream_infer.errors import SourceError
from stream_infer.ports import SourceItem
from stream_infer.records import JSON, Payload

_NAME = re.compile(r"\w+")


class SqliteSource:
    def __init__(self, config: Mapping[str, Any]) -> None:
        self._file, self._table = Path(config["file"]), str(config["table"])
        if not _NAME.fullmatch(self._table):
            raise SourceError(f"sqlite: {self._table!r} is no table's name")

    def read(self, after: str | None) -> Iterator[SourceItem]:
        """The rows behind the one whose rowid is `after`: whoever reads on begins where the last one ended."""
        try:
            with closing(sqlite3.connect(f"{self._file.as_uri()}?mode=ro", uri=True)) as database:
                database.row_factory = sqlite3.Row
                # The table's name is nothing but letters, digits and '_'.
                query = f"SELECT rowid AS rowid_, * FROM {self._table} WHERE rowid > ? ORDER BY rowid"  # noqa: S608  # nosec B608
                for row in database.execute(query, (int(after or 0),)):
                    values = {name: row[name] for name in row.keys() if name != "rowid_"}  # noqa: SIM118 - no mapping
                    payload, number = Payload(json.dumps(values).encode(), JSON), str(row["rowid_"])
                    yield SourceItem(payload, source=f"{self._table}:{number}", cursor=number)
        except sqlite3.Error as error:
            raise SourceError(f"sqlite: {self._file}: {error}") from error
