"""Replication between our broker and Apache's 4.9.8, in both directions: the logs are the same bytes, over restarts of either
side, and what was acknowledged is consumed from the slave. And the case that Apache's own master gets wrong: a slave that
has what its master has lost is refused, and nothing is acknowledged on its word."""

import json
import os
import re
import shutil
import subprocess
import time

from . import apache_broker, messages, process, servers, there_and_back, wire
from .report import PATIENCE_S, eventually, require

CODE_GET_BROKER_RUNTIME_INFO = 28
CODE_SEND_OK = 0
CODE_SYSTEM_ERROR = 1
# A put that no slave has: FLUSH_SLAVE_TIMEOUT is 12, SLAVE_NOT_AVAILABLE 11.
CODES_NO_SLAVE = (11, 12)
COUNT = 1000
FEW = 20
QUEUES = 4
FILE_BYTES = 1024 * 1024


def figures(port):
    """What a broker tells of itself. Apache's fails (NoSuchElementException in StoreStatsService) until it has been up for a
    second and has its first sample: it is asked again."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        with wire.Connection(port) as connection:
            header, _, body = connection.ask(wire.request(CODE_GET_BROKER_RUNTIME_INFO))
        if header["code"] == 0:
            return json.loads(body)["table"]
        again = header["code"] == CODE_SYSTEM_ERROR and time.monotonic() < deadline
        require(again, f"the broker at {port} answers {header['code']} instead of its figures")
        time.sleep(0.1)


def log_end(port):
    return int(figures(port)["commitLogMaxOffset"])


def log_bytes(store, start, end):
    """The log's bytes in [start, end); all files must be there."""
    found = bytearray()
    for file in sorted((store / "commitlog").iterdir()):
        if not re.fullmatch(r"\d{20}", file.name):
            continue
        base = int(file.name)
        if base + FILE_BYTES > start and base < end:
            require(base == start + len(found) - (start + len(found)) % FILE_BYTES, f"{file} leaves a gap")
            data = file.read_bytes()
            found += data[max(start - base, 0) : end - base]
    require(len(found) == end - start, f"{store} has {len(found)} bytes of log instead of {end - start}")
    return bytes(found)


class Pair:
    """A master and a slave, one of them Apache's, with a name server of ours."""

    def __init__(self, binaries, work, apache, client, report, ours_is_master):
        kind = "our master, Apache's slave" if ours_is_master else "Apache's master, our slave"
        self.kind, self.report, self.client, self.binaries, self.work = kind, report, client, binaries, work
        self.work.mkdir()
        self.name_server = servers.name_server(binaries, work, servers.free_ports([0]))
        self.master_store, self.slave_store = work / "master", work / "slave"
        self.master_port, self.slave_port = servers.free_ports([-2, 0, 1]), servers.free_ports([-2, 0, 1])
        master = self._keys("0", "SYNC_MASTER", self.master_port, self.master_store)
        slave = self._keys("1", "SLAVE", self.slave_port, self.slave_store)
        self.master = self._server("master", self.master_port, master, None if ours_is_master else apache)
        self.slave = self._server("slave", self.slave_port, slave, apache if ours_is_master else None)
        self.ours_is_master = ours_is_master
        self.topic = "interop_replicated"
        self.sent = []

    def _keys(self, broker_id, role, port, store):
        return {
            "brokerClusterName": "DefaultCluster", "brokerName": "broker-r", "brokerId": broker_id, "brokerRole": role,
            "brokerIP1": "127.0.0.1", "brokerIP2": "127.0.0.1", "bindAddress": "127.0.0.1", "listenPort": port,
            "namesrvAddr": self.name_server.address, "storePathRootDir": store, "flushDiskType": "ASYNC_FLUSH",
            "mappedFileSizeCommitLog": FILE_BYTES, "autoCreateTopicEnable": "true", "registerNameServerPeriod": 10_000,
        }  # fmt: skip

    def _server(self, name, port, keys, apache):
        if apache:
            apache.work = self.work
            return apache.server(name, port, keys)
        config = self.work / f"{name}.conf"
        config.write_text("".join(f"{key}={value}\n" for key, value in keys.items()))
        return servers.Server("mqbroker", [self.binaries / "mqbroker", "-c", config], self.work / f"{name}.log", port)

    def check(self, name):
        return self.report.check(f"replication, {self.kind}: {name}")

    def produce(self, prefix, count):
        part = messages.plan(f"{prefix}-{'ours' if self.ours_is_master else 'apaches'}", count)
        self.client.produce(self, self.topic, part)
        self.sent += part

    def send_raw(self, count):
        """Straight to the master; the answers' codes."""
        with wire.Connection(self.master_port) as connection:
            return [connection.ask(wire.send_request("interop_raw", os.urandom(700)))[0]["code"] for _ in range(count)]

    def wait_until_it_follows(self):
        """The slave acknowledges: a SYNC_MASTER answers SEND_OK."""
        eventually("the SYNC_MASTER answers SEND_OK", lambda: self.send_raw(1) == [CODE_SEND_OK])

    def check_equal(self):
        eventually("the slave has all that the master has", lambda: log_end(self.slave_port) == log_end(self.master_port))
        end = log_end(self.master_port)
        ours, theirs = log_bytes(self.master_store, 0, end), log_bytes(self.slave_store, 0, end)
        differs = next((at for at in range(end) if ours[at] != theirs[at]), None) if ours != theirs else None
        require(differs is None, f"the logs differ at {differs}")
        return f"{end:,} bytes in {-(-end // FILE_BYTES)} files"

    def wait_for_topic(self):
        topics = self.slave_store / "config" / "topics.json"
        eventually(
            f"the slave has copied topic {self.topic}",
            lambda: topics.exists() and self.topic in topics.read_text(errors="replace"),
        )

    def wait_for_route(self):
        eventually("the route has the topic", lambda: wire.topic_route(self.name_server.port, self.topic) is not None)

    def run(self):
        with self.check("they start, and the slave follows"):
            self.name_server.start()
            self.master.start()
            self.slave.start()
            self.wait_until_it_follows()
        if not (self.master.alive() and self.slave.alive()):
            return
        with self.check(f"{COUNT:,} messages, the same bytes in both logs") as remarks:
            self.client.create_topic(self, self.topic, QUEUES)
            self.wait_for_route()
            self.produce("first", COUNT)
            remarks.append(self.check_equal())
        with self.check("the slave is restarted, and catches up") as remarks:
            self.slave.stop()
            codes = self.send_raw(FEW)
            require(CODE_SEND_OK not in codes, f"acknowledged without a slave: {codes}")
            self.slave.start()
            self.wait_until_it_follows()
            self.produce("second", FEW)
            remarks.append(self.check_equal())
        with self.check("the slave is killed, and catches up") as remarks:
            self.slave.kill()
            self.send_raw(FEW)
            self.slave.start()
            self.wait_until_it_follows()
            self.produce("third", FEW)
            remarks.append(self.check_equal())
        with self.check("the master is restarted, and the slave goes on") as remarks:
            self.master.stop()
            self.master.start()
            self.wait_until_it_follows()
            self.produce("fourth", FEW)
            remarks.append(self.check_equal())
        with self.check("all that was acknowledged is consumed from the slave, with the master dead"):
            self.wait_for_topic()
            self.check_equal()
            self.master.kill()
            received = self.client.consume(self, "reader-of-the-slave", self.topic, "*", len(self.sent))
            messages.compare(self.sent, received, duplicates_allowed=True)

    def run_diverged(self):
        """The golden case: the master comes back without the end of its log, which the slave has."""
        with self.check("a slave that has what its master has lost is refused, and nothing is acknowledged on its word") as remarks:
            if not self.master.alive():
                self.master.start()
            self.wait_until_it_follows()
            self.check_equal()
            # The master's disk as it was before the last messages.
            self.master.stop()
            earlier = self.work / "earlier"
            subprocess.run(["cp", "-a", "--sparse=always", self.master_store, earlier], check=True)
            self.master.start()
            self.wait_until_it_follows()
            require(self.send_raw(FEW) == [CODE_SEND_OK] * FEW, "the messages to be lost are not acknowledged")
            self.check_equal()
            self.master.kill()
            lost = log_end(self.slave_port)
            before = log_bytes(self.slave_store, 0, lost)
            shutil.rmtree(self.master_store)
            earlier.rename(self.master_store)
            self.master.start()
            require(log_end(self.master_port) < lost, "the master has lost nothing")
            # The name server knows that somebody has led since then, and Apache's slave has no way to give it back.
            eventually("the master waits and says for whom", lambda: b"gives nothing back" in self.master.output())
            require(CODE_SEND_OK not in self.send_raw(FEW), "acknowledged by a master that waits")
            self.begin_history()
            eventually("the master says that it refuses the slave", lambda: self._refusal() is not None)
            # On, beyond the slave's end: now their lengths say nothing any more.
            codes = []
            while log_end(self.master_port) <= lost + 10_000:
                codes += self.send_raw(5)
            seen = self._refusals()
            eventually("the slave comes again, and is refused again", lambda: self._refusals() > seen)
            codes += self.send_raw(5)
            require(set(codes) <= set(CODES_NO_SLAVE), f"answered {sorted(set(codes))} without a slave that can be trusted")
            require(log_end(self.slave_port) == lost, "the slave has taken something")
            require(log_bytes(self.slave_store, 0, lost) == before, "the slave's log was changed")
            remarks.append(self._refusal())

    def begin_history(self):
        """As an operator does who gives up what only the slave has."""
        command = [self.binaries / "mqadmin", "beginHistory", "-b", f"127.0.0.1:{self.master_port}"]
        log = self.work / "mqadmin.log"
        process.run([*command, "--accept-loss"], log, timeout_s=60)

    def _refused_lines(self):
        output = self.master.output().decode("utf-8", "replace")
        reasons = ("more than this master's", "may hold messages that this master has lost")
        return [line for line in output.splitlines() if " WARN HA: " in line and any(why in line for why in reasons)]

    def _refusal(self):
        lines = self._refused_lines()
        return lines[-1].partition("HA: ")[2] if lines else None

    def _refusals(self):
        return len(self._refused_lines())


def run(binaries, work, cache, client, report):
    """`client` is Apache's Java client."""
    missing = apache_broker.missing_tools()
    if missing or client is None:
        why = f"{' and '.join(missing)} not found on this machine" if missing else "needs a client java-4.9.x"
        report.skip(f"replication with Apache's broker: {why}")
        return
    apache = apache_broker.ApacheBroker(cache, work)
    prepared = False
    with report.check("replication: fetch Apache's broker"):
        apache.prepare()
        prepared = True
    if not prepared:
        return
    for ours_is_master in (True, False):
        pair = Pair(binaries, work / f"replication-{'ours' if ours_is_master else 'apaches'}", apache, client, report, ours_is_master)
        pair.run()
        if ours_is_master and pair.slave.alive():
            pair.run_diverged()
        for server in (pair.slave, pair.master, pair.name_server):
            if server.alive():
                server.kill()
    there_and_back.run(binaries, work, apache, client, report)
