"""One line per check, and the count at the end."""

import contextlib
import sys
import time


class CheckFailed(Exception):
    """What a check found instead of what it wanted."""


def require(condition, reason):
    if not condition:
        raise CheckFailed(reason)


# How long a cluster may take for what it does by itself.
PATIENCE_S = 90


def eventually(what, holds):
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        require(time.monotonic() < deadline, f"after {PATIENCE_S} s still not: {what}")
        time.sleep(0.1)


class Report:
    def __init__(self):
        self.passed = 0
        self.failed = 0

    def note(self, text):
        print(f"        {text}", flush=True)

    def skip(self, text):
        print(f"skipped {text}", flush=True)

    @contextlib.contextmanager
    def check(self, name):
        """Runs its body as one check. Yields a list: what the body appends is printed behind the name."""
        remarks = []
        begin = time.monotonic()
        try:
            yield remarks
        except Exception as error:  # whatever went wrong, it is this check that failed, and the next ones still run
            self.failed += 1
            reason = str(error) if isinstance(error, CheckFailed) else f"{type(error).__name__}: {error}"
            print(f"FAILED  {name}: {reason}", flush=True)
        else:
            self.passed += 1
            remarks.append(f"{time.monotonic() - begin:.1f} s")
            print(f"ok      {name} ({', '.join(remarks)})", flush=True)

    def finish(self):
        """Prints the sum and returns the exit status."""
        sys.stdout.flush()
        print(f"{self.passed} passed, {self.failed} failed", flush=True)
        return 0 if self.failed == 0 and self.passed > 0 else 1
