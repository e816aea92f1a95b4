"""Waiting with a deadline. Nothing in the tests sleeps for a fixed time and hopes."""

import os
import time

SLOWER = float(os.environ.get("PMC_SLOWER", "1"))  # how much longer all may take (sanitizers, valgrind)
DEADLINE = 10.0 * SLOWER  # seconds; on a machine slower than this a test may fail


def eventually(what, condition, deadline=DEADLINE):
    """Polls condition() until it is true and returns its value; fails with `what` when the deadline has passed."""
    end = time.monotonic() + deadline
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline} s: {what() if callable(what) else what}")
        time.sleep(pause)
        pause = min(pause * 2, 0.02)


def steady(what, value, quiet=0.3, deadline=DEADLINE):
    """Waits until value() has not changed for `quiet` seconds; returns it."""
    end = time.monotonic() + deadline
    last, since = value(), time.monotonic()
    while time.monotonic() - since < quiet:
        if time.monotonic() > end:
            raise AssertionError(f"not at rest within {deadline} s: {what}, {last}")
        time.sleep(0.01)
        now = value()
        if now != last:
            last, since = now, time.monotonic()
    return last
