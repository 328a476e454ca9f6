"""What every client must be able to do: produce, consume, filter by tag, survive a restart and a kill -9, and understand
what the other clients wrote."""

from . import messages
from .report import require

COUNT = 1000
FEW = 10
CROSS_COUNT = 100
QUEUES = 4


class Conversation:
    """One client and its topic. The checks build on each other, in the order in which `run` calls them."""

    def __init__(self, client, cluster, report):
        self.client = client
        self.cluster = cluster
        self.report = report
        self.name = client.name
        self.topic = f"interop_{client.group_suffix()}"
        self.group = f"reader-{client.group_suffix()}"
        self.sent = messages.plan(self.name, COUNT)
        self.ids = None

    def talk(self):
        """Everything that needs no restart."""
        client, cluster = self.client, self.cluster
        with self.report.check(f"{self.name}: create a topic") as remarks:
            if client.creates_topics:
                client.create_topic(cluster, self.topic, QUEUES)
                remarks.append("with the client's createTopic")
            else:
                cluster.create_topic(self.topic, QUEUES)
                remarks.append("with mqadmin updateTopic")
            cluster.wait_for_route(self.topic)
        with self.report.check(f"{self.name}: produce {COUNT:,} messages of mixed size") as remarks:
            self.ids = client.produce(cluster, self.topic, self.sent)
            require(len(set(self.ids.values())) == COUNT, "message ids repeat")
            remarks.append(f"{sum(len(m.body) for m in self.sent) / 1e6:.1f} MB")
        with self.report.check(f"{self.name}: consume {COUNT:,}, the same bodies, ids, keys, tags and properties"):
            messages.compare(self.sent, client.consume(cluster, self.group, self.topic, "*", COUNT), self.ids)
        with self.report.check(f"{self.name}: the filter on tag A gives exactly that half"):
            half = [m for m in self.sent if m.tag == "A"]
            messages.compare(half, client.consume(cluster, f"{self.group}-tag", self.topic, "A", len(half)))
        if client.creates_topics:  # the others cannot send to a topic that has no route
            with self.report.check(f"{self.name}: a topic that nobody created comes into being with the first message"):
                few = messages.plan(f"{self.name}-auto", FEW)
                client.produce(cluster, f"{self.topic}_auto", few)
                messages.compare(few, client.consume(cluster, f"{self.group}-auto", f"{self.topic}_auto", "*", FEW))

    def after_restart(self):
        """The offsets committed before the broker's graceful restart hold after it."""
        what = f"none of the old messages and all of {FEW} new ones"
        with self.report.check(f"{self.name}: after a graceful restart the group gets {what}"):
            new = messages.plan(f"{self.name}-new", FEW)
            self.client.produce(self.cluster, self.topic, new)
            messages.compare(new, self.client.consume(self.cluster, self.group, self.topic, "*", FEW))

    def kill_between_halves(self):
        """kill -9 right after the acknowledgement of the first half, while the producer lives on."""
        name = f"{self.name}: kill -9 of the broker between two halves of {COUNT:,} loses nothing acknowledged"
        with self.report.check(name) as remarks:
            topic = f"{self.topic}_killed"
            if self.client.creates_topics:
                self.client.create_topic(self.cluster, topic, QUEUES)
            else:
                self.cluster.create_topic(topic, QUEUES)
            self.cluster.wait_for_route(topic)

            def kill_and_restart():
                self.cluster.broker.kill()
                self.cluster.broker.start()
                remarks.append(f"recovered in {self.cluster.broker.boot_ms:.0f} ms")

            sent = messages.plan(f"{self.name}-killed", COUNT)
            self.client.produce(self.cluster, topic, sent, COUNT // 2, kill_and_restart)
            received = self.client.consume(self.cluster, f"{self.group}-killed", topic, "*", COUNT)
            remarks.append(f"{messages.compare(sent, received, duplicates_allowed=True)} duplicates")


def restart(cluster, report):
    with report.check("the broker stops on SIGTERM, leaves no abort file, and starts again") as remarks:
        cluster.broker.stop()
        require(not (cluster.store / "abort").exists(), "the abort file is still there: it would recover as after a crash")
        cluster.broker.start()
        remarks.append(f"{cluster.broker.boot_ms:.0f} ms to its boot line")


def cross(clients, cluster, report):
    """All produce to one topic, and each consumes all of it."""
    if len(clients) < 2:
        report.skip("across clients: needs two of them")
        return
    topic = "interop_cross"
    sent = []
    with report.check(f"across clients: all {len(clients)} produce {CROSS_COUNT} each to one topic"):
        cluster.create_topic(topic, QUEUES)
        cluster.wait_for_route(topic)
        for client in clients:
            part = messages.plan(f"cross-{client.name}", CROSS_COUNT)
            client.produce(cluster, topic, part)
            sent += part
    for client in clients:
        with report.check(f"across clients: {client.name} consumes what the others and itself produced"):
            received = client.consume(cluster, f"cross-{client.group_suffix()}", topic, "*", len(clients) * CROSS_COUNT)
            messages.compare(sent, received)
