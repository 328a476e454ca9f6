"""Start-up time and idle memory of the broker, with RocketMQ's default file sizes. Printed, never judged: a machine that is
busy with something else would fail them."""

import time

from . import servers

SETTLE_S = 2
STARTS = 3


def idle(cluster, report):
    """A broker of its own, on an empty store, next to the cluster's."""
    store = cluster.work / "measured"
    port = servers.free_ports([-2, 0, 1])
    server = servers.broker(
        cluster.binaries, cluster.work, "measured-broker", port, cluster.name_server.address, store,
        {"brokerName": "broker-m"},
    )  # fmt: skip
    with report.check("a broker with default settings starts, idles and stops") as remarks:
        boots_ms = []
        for start in range(STARTS):
            server.start()
            boots_ms.append(server.boot_ms)
            if start == STARTS - 1:
                time.sleep(SETTLE_S)
                resident_mb = server.rss_mb()
            server.stop()
        remarks.append(f"boot line after {' / '.join(f'{ms:.0f}' for ms in boots_ms)} ms")
        remarks.append(f"{resident_mb:.1f} MB resident when idle")
        remarks.append(f"name server {cluster.name_server.rss_mb():.1f} MB")
