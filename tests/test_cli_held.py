"""Interrupts wait for the report, and no longer."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from faceparts.cli._held import HeldInterrupts


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_an_interrupt_waits_for_the_release() -> None:
    held = HeldInterrupts()
    held.hold()
    held.hold()
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        held.release()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    held.release()


def test_a_second_one_comes_at_once() -> None:
    held = HeldInterrupts()
    held.hold()
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_each_signal_meets_its_own_handler() -> None:
    seen: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    held = HeldInterrupts()
    held.hold()
    os.kill(os.getpid(), signal.SIGTERM)
    assert seen == []
    held.release()
    assert seen == [signal.SIGTERM]


def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    held = HeldInterrupts()
    held.hold()
    os.kill(os.getpid(), signal.SIGINT)
    held.release()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_other_threads_hold_nothing() -> None:
    held = HeldInterrupts()
    thread = threading.Thread(target=held.hold)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    held.release()
