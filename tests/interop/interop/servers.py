"""The real name server and broker on loopback: their configuration, start, graceful stop and kill."""

import random
import re
import signal
import socket
import subprocess
import time

from . import process, wire
from .report import CheckFailed, require

BOOT_LINE = b"boot success"
BOOT_TIMEOUT_S = 30
STOP_TIMEOUT_S = 30
REFUSE_TIMEOUT_S = 20
# What a process may return when it was asked to stop and did: its own 0, or the shell's convention for SIGTERM.
GRACEFUL_STATUSES = (0, 128 + signal.SIGTERM)


def free_ports(offsets):
    """A base port such that base + offset is free for each offset; below the range that outgoing connections take,
    and below that of the cluster tests in Rust, which may run at the same time."""
    for _ in range(200):
        base = random.randrange(12_000, 20_000)
        try:
            for offset in offsets:
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", base + offset))
            return base
        except OSError:
            continue
    raise CheckFailed("no free ports on 127.0.0.1 between 12000 and 20000")


class Server:
    """One server process: `start` waits for the boot line."""

    def __init__(self, name, command, log_path, port):
        self.name = name
        self.command = command
        self.log_path = log_path
        self.port = port
        self.child = None
        self.boot_ms = None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def launch(self):
        self._log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log:
            self.child = process.spawn(self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def output(self):
        """What the process printed since it was last launched."""
        with open(self.log_path, "rb") as log:
            log.seek(self._log_start)
            return log.read()

    def start(self):
        begin = time.monotonic()
        self.launch()
        while BOOT_LINE not in self.output():
            status = self.child.poll()
            require(status is None, f"{self.name} ended with status {status} before it was up: {self.last_line()}")
            in_time = time.monotonic() - begin < BOOT_TIMEOUT_S
            require(in_time, f"{self.name} did not print its boot line within {BOOT_TIMEOUT_S} s")
            time.sleep(0.002)
        self.boot_ms = (time.monotonic() - begin) * 1000

    def refuses(self, what):
        """Launches it and waits for it to end by itself with an error; returns what it printed."""
        self.launch()
        try:
            deadline = time.monotonic() + REFUSE_TIMEOUT_S
            while self.alive():
                require(BOOT_LINE not in self.output(), f"{self.name} started in spite of {what}")
                require(time.monotonic() < deadline, f"{self.name} neither started nor ended in {REFUSE_TIMEOUT_S} s")
                time.sleep(0.02)
        finally:
            if self.alive():
                self.kill()
        status, output = self.child.returncode, self.output().decode("utf-8", "replace")
        require(status > 0 and "panicked" not in output, f"{self.name} ended with status {status}: {self.last_line()}")
        return output

    def stop(self):
        """SIGTERM, then waits. CheckFailed if it does not end by itself, or badly."""
        require(self.alive(), f"{self.name} is not running")
        self.child.send_signal(signal.SIGTERM)
        try:
            status = self.child.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise CheckFailed(f"{self.name} did not stop within {STOP_TIMEOUT_S} s of SIGTERM") from None
        require(status in GRACEFUL_STATUSES, f"{self.name} ended with status {status} after SIGTERM")

    def kill(self):
        """kill -9."""
        self.child.kill()
        self.child.wait()

    def alive(self):
        return self.child is not None and self.child.poll() is None

    def rss_mb(self):
        with open(f"/proc/{self.child.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read()).group(1)) / 1024

    def last_line(self):
        return process.last_line(self.log_path)


def name_server(binaries, work, port, name="namesrv"):
    config = work / f"{name}.conf"
    config.write_text(f"listenPort={port}\nbindAddress=127.0.0.1\nkvConfigPath={work}/namesrv/kvConfig.json\n")
    (work / "namesrv").mkdir(exist_ok=True)
    return Server("mqnamesrv", [binaries / "mqnamesrv", "-c", config], work / f"{name}.log", port)


def broker(binaries, work, name, port, name_server_address, store, settings):
    """A master `broker-a` with its store in `store`; `settings` are further lines of its broker.conf."""
    config = work / f"{name}.conf"
    keys = {
        "brokerClusterName": "DefaultCluster",
        "brokerName": "broker-a",
        "brokerId": "0",
        "brokerRole": "ASYNC_MASTER",
        "brokerIP1": "127.0.0.1",
        "bindAddress": "127.0.0.1",
        "listenPort": port,
        "namesrvAddr": name_server_address,
        "storePathRootDir": store,
        "autoCreateTopicEnable": "true",
        **settings,
    }
    config.write_text("".join(f"{key}={value}\n" for key, value in keys.items()))
    return Server("mqbroker", [binaries / "mqbroker", "-c", config], work / f"{name}.log", port)


class Cluster:
    """The pair that the clients talk to."""

    def __init__(self, binaries, work, ports, flush):
        self.binaries = binaries
        self.work = work
        self.store = work / "store"
        name_server_port = ports[0] or free_ports([0])
        broker_port = ports[1] or free_ports([-2, 0, 1])
        self.name_server = name_server(binaries, work, name_server_port)
        # 8 MiB files, so that a few thousand messages roll over.
        self.settings = {"flushDiskType": flush, "mapedFileSizeCommitLog": 8 * 1024 * 1024}
        self.broker = broker(binaries, work, "broker", broker_port, self.name_server.address, self.store, self.settings)

    def create_topic(self, topic, queues):
        """With mqadmin, as an operator does."""
        command = [
            self.binaries / "mqadmin", "updateTopic", "-n", self.name_server.address, "-c", "DefaultCluster",
            "-t", topic, "-r", str(queues), "-w", str(queues),
        ]  # fmt: skip
        process.run(command, self.work / "mqadmin.log", timeout_s=60)

    def wait_for_route(self, topic):
        """A new topic reaches the name server by the broker's registration."""
        deadline = time.monotonic() + 15
        while wire.topic_route(self.name_server.port, topic) is None:
            require(time.monotonic() < deadline, f"the name server has no route for {topic} after 15 s")
            time.sleep(0.05)
