"""A store of ours goes to Apache's broker 4.9.8 and comes back: each serves what both have written, over a graceful stop and a
kill of either."""

from . import messages, servers, wire
from .report import eventually, require

COUNT = 200
QUEUES = 4
FILE_BYTES = 1024 * 1024


class Store:
    """One store directory, and the two brokers that open it in turn under one name."""

    def __init__(self, binaries, work, apache, client, report):
        self.report, self.client, self.binaries, self.work = report, client, binaries, work
        self.work.mkdir()
        self.name_server = servers.name_server(binaries, work, servers.free_ports([0]))
        port = servers.free_ports([-2, 0, 1])
        settings = {
            "flushDiskType": "ASYNC_FLUSH", "mappedFileSizeCommitLog": FILE_BYTES, "registerNameServerPeriod": 10_000,
        }  # fmt: skip
        self.ours = servers.broker(binaries, work, "broker", port, self.name_server.address, work / "store", settings)
        apache.work = work
        keys = dict(line.split("=", 1) for line in (work / "broker.conf").read_text().splitlines())
        self.apaches = apache.server("apaches", port, keys)
        self.topic = "interop_there_and_back"
        self.sent = []
        self.groups = 0

    def check(self, name):
        return self.report.check(f"there and back: {name}")

    def wait_for_route(self):
        eventually("the route has the topic", lambda: wire.topic_route(self.name_server.port, self.topic) is not None)

    def produce(self, who):
        part = messages.plan(f"{who}-{len(self.sent)}", COUNT)
        self.client.produce(self, self.topic, part)
        self.sent += part

    def consume_all(self):
        """By a group that has read nothing."""
        self.groups += 1
        received = self.client.consume(self, f"reader-{self.groups}", self.topic, "*", len(self.sent))
        messages.compare(self.sent, received, duplicates_allowed=True)
        return f"{len(self.sent):,} messages"

    def journey(self, how, end):
        """To Apache's broker and back; each of the two ends by `end`."""
        with self.check(f"Apache's broker serves what ours wrote, and writes; ours {how}") as remarks:
            end(self.ours)
            self.apaches.start()
            self.produce("apaches")
            remarks.append(self.consume_all())
        with self.check(f"ours serves what Apache's wrote, and writes; Apache's {how}") as remarks:
            end(self.apaches)
            self.ours.start()
            self.produce("ours")
            remarks.append(self.consume_all())
            require("no checksum" not in self.ours.output().decode("utf-8", "replace"), "a record was taken for damaged")
        with self.check(f"ours serves all of it after it {how}") as remarks:
            end(self.ours)
            self.ours.start()
            remarks.append(self.consume_all())

    def run(self):
        with self.check("ours starts and writes"):
            self.name_server.start()
            self.ours.start()
            self.client.create_topic(self, self.topic, QUEUES)
            self.wait_for_route()
            self.produce("ours")
        if self.ours.alive():
            self.journey("is stopped", servers.Server.stop)
        if self.ours.alive():
            self.journey("is killed", servers.Server.kill)


def run(binaries, work, apache, client, report):
    """`apache` is ready; `client` is Apache's Java client."""
    store = Store(binaries, work / "there-and-back", apache, client, report)
    store.run()
    for server in (store.ours, store.apaches, store.name_server):
        if server.alive():
            server.kill()
