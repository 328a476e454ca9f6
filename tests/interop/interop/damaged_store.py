"""Stores that `mqbroker` must not touch: it names the file, ends with an error, and changes nothing. And damage that it
cannot see before it reads: never given to a consumer."""

import contextlib
import hashlib
import os
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from . import process, servers, wire
from .report import require

MESSAGE_MAGIC = 0xDAA3_20A7
CODE_PULL_MESSAGE = 11
PULL_FLAG_SUBSCRIPTION = 4
TOPIC = "interop_damaged"
COUNT = 40
BODY_BYTES = 500


def snapshot(store):
    """{path: (size, digest)} of every file; the content of `lock` is the process's own."""
    found = {}
    for path in sorted(store.rglob("*")):
        if path.is_file():
            name = str(path.relative_to(store))
            digest = None if name == "lock" else hashlib.sha256(path.read_bytes()).hexdigest()
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


@dataclass(frozen=True)
class Record:
    """Where a CommitLog record lies; its layout is RocketMQ's (MessageDecoder)."""

    file: Path
    queue_id: int
    queue_offset: int
    physical_offset: int
    body_at: int
    body_length: int
    topic: str


def records(file):
    """The records of one CommitLog file, up to its unused rest."""
    position = 0
    with open(file, "rb") as log:
        data = log.read()
    while int.from_bytes(data[position : position + 4], "big") > 0:
        total, magic = struct.unpack_from(">iI", data, position)
        if magic != MESSAGE_MAGIC:
            return
        (queue_id,) = struct.unpack_from(">i", data, position + 12)
        queue_offset, physical_offset = struct.unpack_from(">qq", data, position + 20)
        (body_length,) = struct.unpack_from(">i", data, position + 84)
        topic_at = position + 88 + body_length
        topic = data[topic_at + 1 : topic_at + 1 + data[topic_at]].decode()
        yield Record(file, queue_id, queue_offset, physical_offset, position + 88, body_length, topic)
        position += total


def damage_a_body(store):
    """Changes the body of the first of our own records, with the others behind it: after a clean stop all was flushed."""
    files = sorted((store / "commitlog").iterdir())
    ours = (record for file in files for record in records(file) if record.topic == TOPIC)
    record = next((record for record in ours if record.body_length == BODY_BYTES), None)
    require(record is not None, f"no record of {TOPIC} in {store / 'commitlog'}")
    with open(record.file, "r+b") as log:
        log.seek(record.body_at + record.body_length // 2)
        byte = log.read(1)
        log.seek(-1, os.SEEK_CUR)
        log.write(bytes([byte[0] ^ 0xFF]))
    return record


def damaged_before_crash(store):
    (store / "abort").touch()
    return damage_a_body(store).file


CASES = {
    "a commit log file that was cut short": cut_short,
    "a foreign file in commitlog/": foreign_name,
    "a foreign file in a consume queue": foreign_queue_file,
    "a flushed record that was damaged before it recovers from a crash": damaged_before_crash,
}


def pull(port, record):
    """The answer to a pull at that record: the response code, and the physical offsets of what came."""
    fields = {
        "consumerGroup": "TOOLS_CONSUMER", "topic": record.topic, "queueId": record.queue_id,
        "queueOffset": record.queue_offset, "maxMsgNums": 32, "sysFlag": PULL_FLAG_SUBSCRIPTION, "commitOffset": 0,
        "suspendTimeoutMillis": 0, "subscription": "*", "subVersion": 0, "expressionType": "TAG",
    }  # fmt: skip
    with wire.Connection(port) as connection:
        header, _, body = connection.ask(wire.request(CODE_PULL_MESSAGE, fields))
    position, offsets = 0, []
    while position < len(body):
        offsets.append(struct.unpack_from(">q", body, position + 28)[0])
        position += struct.unpack_from(">i", body, position)[0]
    return header["code"], offsets


@contextlib.contextmanager
def copy_of(store, target):
    """`store` must belong to no running broker."""
    subprocess.run(["cp", "-a", "--sparse=always", store, target], check=True)
    try:
        yield target
    finally:
        subprocess.run(["rm", "-rf", target], check=True)


def broker_on(cluster, name, store, port, **settings):
    address = cluster.name_server.address
    settings = {**cluster.settings, **settings}
    return servers.broker(cluster.binaries, cluster.work, name, port, address, store, settings)


def refusals(cluster, report):
    for number, (what, damage) in enumerate(CASES.items()):
        with report.check(f"damaged store: mqbroker refuses {what}, names it and changes nothing"):
            with copy_of(cluster.store, cluster.work / f"damaged-{number}") as store:
                file = damage(store)
                before = snapshot(store)
                server = broker_on(cluster, f"damaged-{number}-broker", store, cluster.broker.port)
                output = server.refuses(what)
                require(str(file) in output, f"the message does not name {file}: {process.last_line(server.log_path)}")
                after = snapshot(store)
                changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
                require(not changed, f"the refusal changed {changed[:3]}")


def silent_damage(cluster, report):
    """After a clean stop no broker reads its whole log again: it starts, and finds the damage when it is asked for it."""
    with report.check("damaged store: a record damaged after a clean stop is not served, those behind it are") as remarks:
        with copy_of(cluster.store, cluster.work / "silent") as store:
            record = damage_a_body(store)
            server = broker_on(cluster, "silent-broker", store, cluster.broker.port)
            server.start()
            code, offsets = pull(server.port, record)
            server.stop()
            require(record.physical_offset not in offsets, f"the damaged record at {record.physical_offset} was served")
            require(code == 0 and offsets, f"nothing behind the damaged record was served: code {code}")
            named = record.file.name in server.output().decode("utf-8", "replace")
            require(named, f"the log does not name {record.file}")
            remarks.append(f"{len(offsets)} behind it")


def run(cluster, report):
    """The cluster's broker is stopped for it, and serves its untouched store afterwards."""
    with report.check(f"damaged store: the broker takes {COUNT} messages and stops, to copy its store"):
        with wire.Connection(cluster.broker.port) as connection:
            for _ in range(COUNT):
                header, _, _ = connection.ask(wire.send_request(TOPIC, os.urandom(BODY_BYTES)))
                require(header["code"] == 0, f"code {header['code']}: {header.get('remark')}")
        cluster.broker.stop()
    refusals(cluster, report)
    silent_damage(cluster, report)
    with report.check("damaged store: the untouched store is served again, and by one broker only"):
        cluster.broker.start()
        # Under another name: it is the store that is taken.
        port = servers.free_ports([-2, 0, 1])
        second = broker_on(cluster, "second-broker", cluster.store, port, brokerName="broker-second")
        output = second.refuses("another broker on the same store")
        require(str(cluster.store) in output, f"the message does not name {cluster.store}: {second.last_line()}")
        require(cluster.broker.alive(), "the first broker did not survive the second")
