"""Interrupts that wait until what was written is in the report."""

from __future__ import annotations

import signal
import threading
from typing import Any


class HeldInterrupts:
    """Ctrl-C and SIGTERM come after `release`; a second one comes at once.

    Between the writing of a picture's files and their line in the report nothing may interrupt, or
    the report would not know of files that are there. Outside the main thread nothing is held.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._waiting: int | None = None

    def hold(self) -> None:
        """From now on interrupts wait."""
        if self._handlers or threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            handler = signal.getsignal(number)
            if callable(handler):  # neither ignored nor the system's own way
                self._handlers[number] = handler
                signal.signal(number, self._note)

    def release(self) -> None:
        """Interrupts act again; one that waited acts now.

        Raises:
            KeyboardInterrupt: one has waited.
        """
        handlers, self._handlers = self._handlers, {}
        for number, handler in handlers.items():
            signal.signal(number, handler)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            handlers[waiting](waiting, None)

    def _note(self, number: int, _: object) -> None:
        again = self._waiting is not None
        self._waiting = number
        if again:
            self.release()
