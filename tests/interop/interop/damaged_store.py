"""Stores that `mqbroker` must not touch: it names the file, ends with an error, and changes nothing."""

import contextlib
import hashlib
import subprocess
import time

from . import process, servers
from .report import require

REFUSE_TIMEOUT_S = 20


def snapshot(store):
    """{path: (size, digest)} of every file; the content of `lock` is the process's own."""
    found = {}
    for path in sorted(store.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(store))
            with open(path, "rb") as file:
                digest = None if name == "lock" else hashlib.file_digest(file, "sha256").hexdigest()
            found[name] = (path.stat().st_size, digest)
    return found


def cut_short(store):
    first = sorted((store / "commitlog").iterdir())[0]
    with open(first, "r+b") as file:
        file.truncate(first.stat().st_size // 2 + 7)
    return first


def foreign_name(store):
    file = store / "commitlog" / "notes.txt"
    file.write_text("not a commit log\n")
    return file


def foreign_queue_file(store):
    queue = sorted(path for path in (store / "consumequeue").glob("*/*") if path.is_dir())[0]
    file = queue / "00000000000000000000.old"
    file.write_bytes(bytes(20))
    return file


def damaged_middle(store):
    """The first record of the last file that holds any, after a clean stop: all of it was flushed."""
    last = None
    for path in sorted((store / "commitlog").iterdir()):
        with open(path, "rb") as file:
            if file.read(4) != bytes(4):
                last = path
    with open(last, "r+b") as file:
        length = int.from_bytes(file.read(4), "big")
        file.seek(length // 2)
        file.write(b"\x5a" * min(16, length // 2))
    return last


CASES = {
    "a commit log file that was cut short": cut_short,
    "a foreign file in commitlog/": foreign_name,
    "a foreign file in a consume queue": foreign_queue_file,
    "a damaged record before flushed ones": damaged_middle,
}


@contextlib.contextmanager
def copy_of(store, target):
    """`store` must belong to no running broker."""
    subprocess.run(["cp", "-a", "--sparse=always", store, target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["rm", "-rf", target], check=True)


def refused(server, what):
    """Waits for the server to end by itself, unhappy; returns what it printed."""
    server.launch()
    try:
        deadline = time.monotonic() + REFUSE_TIMEOUT_S
        while server.alive():
            require(servers.BOOT_LINE not in server.output(), f"mqbroker started in spite of {what}")
            require(time.monotonic() < deadline, f"mqbroker neither started nor ended within {REFUSE_TIMEOUT_S} s")
            time.sleep(0.02)
    finally:
        if server.alive():
            server.kill()
    require(server.child.returncode not in (0, -6, -11), f"mqbroker ended with status {server.child.returncode}")
    output = server.output().decode("utf-8", "replace")
    require("panicked" not in output, f"mqbroker panicked: {process.last_line(server.log_path)}")
    return output


def run(cluster, report):
    """The cluster's broker is stopped for it, and serves its untouched store afterwards."""
    with report.check("damaged store: the broker stops, to copy its store"):
        cluster.broker.stop()
    for number, (what, damage) in enumerate(CASES.items()):
        with report.check(f"damaged store: mqbroker refuses {what}, names it and changes nothing"):
            with copy_of(cluster.store, cluster.work / f"damaged-{number}") as store:
                file = damage(store)
                before = snapshot(store)
                server = servers.broker(
                    cluster.binaries, cluster.work, f"damaged-{number}-broker", cluster.broker.port,
                    cluster.name_server.address, store, cluster.settings,
                )  # fmt: skip
                output = refused(server, what)
                require(str(file) in output, f"the message does not name {file}: {process.last_line(server.log_path)}")
                after = snapshot(store)
                changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
                require(not changed, f"the refusal changed {changed[:3]}")
    with report.check("damaged store: the untouched store is served again, and by one broker only"):
        cluster.broker.start()
        port = servers.free_ports([-2, 0, 1])
        second = servers.broker(
            cluster.binaries, cluster.work, "second-broker", port, cluster.name_server.address, cluster.store,
            cluster.settings,
        )  # fmt: skip
        output = refused(second, "another broker on the same store")
        require(str(cluster.store) in output, f"the message does not name {cluster.store}: {second.last_line()}")
        require(cluster.broker.alive(), "the first broker did not survive the second")
