"""Settings that make no sense: the servers name the file, the line, the key and the value, and do not start."""

from . import servers
from .report import require

BROKER_CASES = {
    "a port that is none": ("listenPort", "70000"),
    "an unknown flushDiskType": ("flushDiskType", "SOMETIMES"),
    "a role that is none": ("brokerRole", "EMPEROR"),
    "a size that is no number": ("mapedFileSizeCommitLog", "large"),
}


def named(server, output, key, value):
    config = server.command[-1]
    number = next(i for i, line in enumerate(config.read_text().splitlines(), 1) if line.startswith(f"{key}="))
    for wanted in (str(config), key, value, str(number)):
        require(wanted in output, f"the message does not name {wanted}: {server.last_line()}")


def run(cluster, report):
    """Beside the running cluster."""
    work, address = cluster.work, cluster.name_server.address

    def broker(settings):
        # A name of its own: of the same name and id there may be one broker only.
        settings = {"brokerName": "broker-w", **settings}
        port = servers.free_ports([-2, 0, 1])
        return servers.broker(cluster.binaries, work, "wrong-broker", port, address, work / "wrong-store", settings)

    for what, (key, value) in BROKER_CASES.items():
        with report.check(f"wrong settings: mqbroker refuses {what} and says where it stands"):
            server = broker({key: value})
            named(server, server.refuses(what), key, value)
    with report.check("wrong settings: mqbroker warns of a key that it does not know, and starts"):
        server = broker({"noSuchSetting": "1"})
        server.start()
        server.stop()
        require(b"noSuchSetting" in server.output(), "no warning names noSuchSetting")
    with report.check("wrong settings: mqbroker and mqnamesrv refuse a port that is taken, and name it"):
        for server in (
            broker({"listenPort": cluster.broker.port}),
            servers.name_server(cluster.binaries, work, cluster.name_server.port, "wrong-namesrv"),
        ):
            output = server.refuses("a port that is taken")
            port = cluster.broker.port if server.name == "mqbroker" else cluster.name_server.port
            require(str(port) in output, f"the message does not name port {port}: {server.last_line()}")
    with report.check("wrong settings: a configuration file that is not there is named"):
        missing = work / "no-such.conf"
        for binary in ("mqbroker", "mqnamesrv"):
            server = servers.Server(binary, [cluster.binaries / binary, "-c", missing], work / "missing.log", 0)
            require(str(missing) in server.refuses("a missing file"), f"the message does not name {missing}")
