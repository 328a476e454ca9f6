"""Apache's own broker 4.9.8 as a process of ours: fetched with Maven, configured like `mqbroker`."""

import os
import shutil

from . import process
from .clients import FETCH_TIMEOUT_S, HERE
from .report import CheckFailed
from .servers import Server

TOOLS = ("java", "mvn")

# Apache's BrokerStartup insists on this file below ROCKETMQ_HOME.
LOGBACK = """<configuration>
  <appender name="console" class="ch.qos.logback.core.ConsoleAppender">
    <encoder><pattern>%d %p %t %c{0} - %m%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="console"/></root>
</configuration>
"""


def missing_tools():
    return [tool for tool in TOOLS if shutil.which(tool) is None]


class ApacheBroker:
    """Where its jars are, and how it is started."""

    def __init__(self, cache, work):
        self.cache = cache / "java-broker-4.9.8"
        self.work = work
        self.home = work / "apache-home"

    def prepare(self):
        """Maven resolves the class path, without the network when its own cache has all of it."""
        self.cache.mkdir(parents=True, exist_ok=True)
        class_path = self.cache / "class-path"
        if not class_path.exists() or not all(map(os.path.exists, class_path.read_text().split(":"))):
            command = [
                "mvn", "--batch-mode", "--quiet", "--file", HERE / "java" / "broker" / "pom.xml",
                "dependency:build-classpath", f"-Dmdep.outputFile={class_path}",
            ]  # fmt: skip
            try:
                process.run([*command, "--offline"], self.work / "mvn-broker.log", FETCH_TIMEOUT_S)
            except CheckFailed:
                process.run(command, self.work / "mvn-broker.log", FETCH_TIMEOUT_S)
        (self.home / "conf").mkdir(parents=True, exist_ok=True)
        (self.home / "conf" / "logback_broker.xml").write_text(LOGBACK)

    def server(self, name, port, keys):
        """`keys` are the lines of its broker.conf; the store and the addresses are among them."""
        config = self.work / f"{name}.conf"
        store = keys["storePathRootDir"]
        keys = {**keys, "storePathCommitLog": f"{store}/commitlog", "rocketmqHome": self.home}
        keys.pop("bindAddress", None)  # 5.x has it
        config.write_text("".join(f"{key}={value}\n" for key, value in keys.items()))
        command = [
            "java", "-Xmx384m", "-XX:MaxDirectMemorySize=256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
            "--add-opens", "java.base/jdk.internal.ref=ALL-UNNAMED", "--add-opens", "java.base/sun.nio.ch=ALL-UNNAMED",
            "--add-opens", "java.base/java.nio=ALL-UNNAMED",
            f"-Duser.home={self.home}", f"-Drocketmq.client.logRoot={self.home}/logs",
            "-cp", (self.cache / "class-path").read_text(), "org.apache.rocketmq.broker.BrokerStartup", "-c", config,
        ]  # fmt: skip
        return Server(f"apache-{name}", command, self.work / f"{name}.log", port)
