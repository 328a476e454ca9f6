"""The third-party clients: what each needs, how it is fetched, and how its driver is run."""

import os
import shutil
from pathlib import Path

from . import process
from .messages import write_plan
from .report import CheckFailed

HERE = Path(__file__).resolve().parent.parent
FETCH_TIMEOUT_S = 600
PRODUCE_TIMEOUT_S = 240
CONSUME_TIMEOUT_S = 60
QUIET_MS = 1500


class Client:
    """One client in one version. `cache` keeps what was fetched, between runs."""

    name = ""

    def __init__(self, cache, work):
        self.cache = cache / self.name
        self.work = work
        self.runs = 0

    def missing_tools(self):
        return [tool for tool in self.tools if shutil.which(tool) is None]

    def _driver(self, timeout_s, *arguments):
        self.runs += 1
        stderr = self.work / f"{self.name}-{self.runs}-{arguments[0]}.log"
        return process.Lines([*self.command(), *map(str, arguments)], stderr, timeout_s, env=self.environment())

    def environment(self):
        home = self.work / "home"
        home.mkdir(exist_ok=True)
        return {**os.environ, "HOME": str(home)}

    def produce(self, cluster, topic, messages, pause_after=0, paused=None):
        """Sends all; returns {key: id} of what was acknowledged with SEND_OK. Calls `paused` after `pause_after` of them."""
        path = self.work / f"{topic}-{self.name}-{self.runs}.plan"
        write_plan(path, messages)
        group = f"producer-{self.group_suffix()}"
        lines = self._driver(
            PRODUCE_TIMEOUT_S, "produce", cluster.name_server.address, group, topic, path, pause_after
        )
        acked, complete = {}, False
        for event, *fields in lines:
            if event == "ack":
                acked[fields[0]] = fields[1]
            elif event == "paused":
                paused()
                lines.answer("go on")
            complete = complete or event == "done"
        if not complete or len(acked) != len(messages):
            raise CheckFailed(f"{len(acked)} of {len(messages)} messages were acknowledged")
        return acked

    def consume(self, cluster, group, topic, expression, expected_count):
        """All that `group` gets of `topic`: (key, tag, sha256, id, note) each, until it stays quiet."""
        lines = self._driver(
            CONSUME_TIMEOUT_S + 30, "consume", cluster.name_server.address, group, topic, expression, expected_count,
            QUIET_MS, CONSUME_TIMEOUT_S * 1000,
        )  # fmt: skip
        return [tuple(fields) for event, *fields in lines if event == "msg"]

    def group_suffix(self):
        return self.name.replace(".", "_")


class AliOns(Client):
    name = "ali-ons"
    tools = ("node", "npm")
    creates_topics = False

    def prepare(self):
        """`npm ci` of the lock file, in the cache, once per lock file."""
        source = HERE / "ali-ons"
        lock = (source / "package-lock.json").read_bytes()
        stamp = self.cache / "installed-lock.json"
        if stamp.exists() and stamp.read_bytes() == lock:
            return
        self.cache.mkdir(parents=True, exist_ok=True)
        for file in ("package.json", "package-lock.json"):
            shutil.copy(source / file, self.cache / file)
        command = ["npm", "ci", "--omit=dev", "--ignore-scripts", "--prefer-offline", "--no-audit", "--no-fund"]
        process.run(command, self.work / "npm.log", FETCH_TIMEOUT_S, cwd=self.cache)
        stamp.write_bytes(lock)

    def command(self):
        return ["node", HERE / "ali-ons" / "driver.js"]

    def environment(self):
        return {**super().environment(), "NODE_PATH": str(self.cache / "node_modules")}


class Java(Client):
    """Apache's client; `version` is any published one of rocketmq-client."""

    tools = ("java", "javac", "mvn")
    creates_topics = True

    def __init__(self, version, cache, work):
        self.version = version
        self.name = f"java-{version}"
        super().__init__(cache, work)

    def prepare(self):
        """Maven resolves the class path (without the network when its own cache has all of it), javac compiles the driver."""
        self.cache.mkdir(parents=True, exist_ok=True)
        class_path = self.cache / "class-path"
        source = HERE / "java" / "Driver.java"
        if not class_path.exists() or not all(map(os.path.exists, class_path.read_text().split(":"))):
            command = [
                "mvn", "--batch-mode", "--quiet", "--file", HERE / "java" / "pom.xml", f"-Drocketmq.version={self.version}",
                "dependency:build-classpath", f"-Dmdep.outputFile={class_path}",
            ]  # fmt: skip
            try:
                process.run([*command, "--offline"], self.work / f"mvn-{self.version}.log", FETCH_TIMEOUT_S)
            except CheckFailed:
                process.run(command, self.work / f"mvn-{self.version}.log", FETCH_TIMEOUT_S)
        command = ["javac", "-nowarn", "-cp", class_path.read_text(), "-d", self.cache / "classes", source]
        process.run(command, self.work / f"javac-{self.version}.log", FETCH_TIMEOUT_S)

    def command(self):
        class_path = f"{self.cache / 'classes'}:{(self.cache / 'class-path').read_text()}"
        home = self.work / "home"
        return [
            "java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Duser.home={home}",
            f"-Drocketmq.client.logRoot={home}/logs", "-Dfile.encoding=UTF-8", "-cp", class_path, "Driver",
        ]  # fmt: skip

    def create_topic(self, cluster, topic, queues):
        list(self._driver(60, "create", cluster.name_server.address, f"creator-{self.group_suffix()}", topic, queues))


def by_name(name, cache, work):
    if name == AliOns.name:
        return AliOns(cache, work)
    if name.startswith("java-") and name[5:6].isdigit():
        return Java(name[5:], cache, work)
    raise CheckFailed(f"unknown client {name!r}: ali-ons, or java-VERSION such as java-4.9.8")
