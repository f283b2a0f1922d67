"""Replies kept on disk: asked once, paid once, the same after a restart.

Only replies are kept, under a hash of what was asked: neither prompts nor keys are in the file,
but replies may quote the texts that were judged.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from medrl.errors import JudgeError

logger = logging.getLogger("medrl")

T = TypeVar("T")

_BUSY_S = 5.0
"""How long another process may hold the file; a judge's deadline is not kept meanwhile."""
_OPENING_S = 30.0
_AT_ONCE = 500


class ReplyCache:
    """A SQLite file with one reply per request; one thread at a time may use an opened one.

    Every reply is a transaction of its own, so a killed process loses none that it had written and
    leaves no half one. Several processes may use one file; the first reply to a request stays.

    Raises:
        JudgeError: the file cannot be opened, or is something else.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Replies may quote patients' text: nobody else needs to read them.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            self._file = self._opened()
        except (OSError, sqlite3.Error) as error:
            raise JudgeError(
                f"{path}: cannot be used as a judge's cache: {error}",
                "name another file, or remove this one if it is no longer needed",
            ) from error

    def _opened(self) -> sqlite3.Connection:
        # Two processes that create the file together can get in each other's way without waiting.
        end = time.monotonic() + _OPENING_S
        while True:
            file = sqlite3.connect(
                self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
            )
            try:
                file.execute("PRAGMA journal_mode=WAL")
                # A power cut may lose the last replies, never damage the file.
                file.execute("PRAGMA synchronous=NORMAL")
                file.execute(
                    "CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply TEXT NOT NULL)"
                )
                return file
            except sqlite3.Error as error:
                file.close()
                locked = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
                if not locked or time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def get(self, keys: Iterable[str]) -> dict[str, str]:
        """The replies there are, by key.

        Raises:
            sqlite3.Error: the file is damaged or held by somebody else.
        """
        wanted = list(keys)
        found: dict[str, str] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            places = ",".join("?" * len(part))
            query = f"SELECT key, reply FROM replies WHERE key IN ({places})"
            found.update(self._file.execute(query, part).fetchall())
        return found

    def put(self, key: str, reply: str) -> None:
        """Keep a reply.

        Raises:
            sqlite3.Error: the disk is full, or the file held by somebody else.
        """
        self._file.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, reply))


class KeptReplies:
    """A cache during one call. Where it fails, the call goes on without it and says so.

    Args:
        path: none: nothing is kept.

    Raises:
        JudgeError: see :class:`ReplyCache`.
    """

    def __init__(self, path: Path | None) -> None:
        self._cache = None if path is None else ReplyCache(path)

    def texts(self, wanted: Iterable[str]) -> dict[str, str]:
        """The replies that are there, by key."""
        return self._try(lambda cache: cache.get(wanted)) or {}

    def keep(self, key: str, reply: str) -> None:
        """Keep a reply."""
        self._try(lambda cache: cache.put(key, reply))

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._cache is not None:
            self._cache.close()
            self._cache = None

    def _try(self, action: Callable[[ReplyCache], T]) -> T | None:
        if self._cache is None:
            return None
        try:
            return action(self._cache)
        except sqlite3.Error as error:
            logger.warning("%s: asking goes on without this cache: %s", self._cache.path, error)
            self.close()
            return None
