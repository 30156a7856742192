"""Readers share, a writer excludes: FAISS crashes when a search meets an add."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ReadWriteLock:
    """A lock for many readers or one writer, fair by phases.

    A waiting writer goes before readers that come later; readers that wait when a write ends go before the next writer.
    So nobody waits for more than one phase of the others. Not re-entrant: a reader that asks again while a writer waits
    would wait for itself.
    """

    __slots__ = ("_condition", "_due_readers", "_phase", "_readers", "_waiting_readers", "_waiting_writers", "_writing")

    def __init__(self) -> None:
        self._condition = threading.Condition(threading.Lock())
        self._phase = 0  # writes that have ended
        self._readers = 0
        self._waiting_readers = 0
        self._due_readers = 0  # waited through a write and have not come in yet
        self._waiting_writers = 0
        self._writing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Hold the lock together with other readers."""
        with self._condition:
            if self._writing or self._waiting_writers:
                self._wait_to_read()
            self._readers += 1
        try:
            yield
        finally:
            with self._condition:
                self._readers -= 1
                if not self._readers:
                    self._condition.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock alone."""
        with self._condition:
            self._waiting_writers += 1
            try:
                while self._writing or self._readers or self._due_readers:
                    self._condition.wait()
                self._writing = True
            finally:
                self._waiting_writers -= 1
                if not self._writing:
                    self._condition.notify_all()
        try:
            yield
        finally:
            with self._condition:
                self._writing = False
                self._phase += 1
                self._due_readers += self._waiting_readers
                self._waiting_readers = 0
                self._condition.notify_all()

    def _wait_to_read(self) -> None:
        phase = self._phase
        self._waiting_readers += 1
        try:
            while self._writing or (self._waiting_writers and self._phase == phase):
                self._condition.wait()
        finally:
            if self._phase == phase:
                self._waiting_readers -= 1
            else:
                self._due_readers -= 1
                if not self._due_readers:
                    self._condition.notify_all()
