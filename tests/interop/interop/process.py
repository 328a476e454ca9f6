"""Child processes that never outlive this one."""

import ctypes
import os
import queue
import signal
import subprocess
import threading
import time

from .report import CheckFailed

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_children = []


def _die_with_parent():
    """Even a SIGKILL of this process takes the children along (Linux prctl(2))."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def spawn(command, **options):
    child = subprocess.Popen([str(part) for part in command], preexec_fn=_die_with_parent, **options)
    _children.append(child)
    return child


def kill_all():
    for child in _children:
        if child.poll() is None:
            child.kill()
            child.wait()


def run(command, log_path, timeout_s, **options):
    """Runs a tool to its end, its output to `log_path`; CheckFailed with the end of that output if it fails."""
    tool = os.path.basename(str(command[0]))
    with open(log_path, "ab") as log:
        child = spawn(command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, **options)
        try:
            status = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise CheckFailed(f"{tool} did not end within {timeout_s} s, see {log_path}") from None
    if status != 0:
        raise CheckFailed(f"{tool} ended with status {status}: {last_line(log_path)}")


def last_line(path):
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "(no output)"


class Lines:
    """A child whose standard output is read line by line, with a deadline."""

    def __init__(self, command, stderr_path, timeout_s, **options):
        self._deadline = time.monotonic() + timeout_s
        self._stderr_path = stderr_path
        with open(stderr_path, "ab") as stderr:
            self.child = spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, **options)
        self._queue = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.child.stdout:
            self._queue.put(line.decode("utf-8", "replace").rstrip("\n").split("\t"))
        self._queue.put(None)

    def __iter__(self):
        """Events until the child closes its output; CheckFailed when time is up or it ended badly."""
        while True:
            try:
                event = self._queue.get(timeout=max(0.0, self._deadline - time.monotonic()))
            except queue.Empty:
                self.child.kill()
                self.child.wait()
                raise CheckFailed(f"the client did not end in time: {last_line(self._stderr_path)}") from None
            if event is None:
                status = self.child.wait()
                if status != 0:
                    raise CheckFailed(f"the client ended with status {status}: {last_line(self._stderr_path)}")
                return
            yield event

    def answer(self, line):
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()
