"""Frames that no well-meaning client sends: the server answers as RocketMQ does, or closes that one channel, and lives on.

Also the answers that clients of several languages rely on: both header forms, values that are not strings, the opaque.
"""

import json
import os

from . import wire
from .report import require

CODE_HEART_BEAT = 34
CODE_GET_BROKER_RUNTIME_INFO = 28
CODE_GET_BROKER_CLUSTER_INFO = 106
UNKNOWN_CODE = 9999
REQUEST_CODE_NOT_SUPPORTED = 3
SYSTEM_ERROR = 1
FRAME_BYTES_MAX = 16 * 1024 * 1024
# The oldest version that clients take for one that knows expression types (MQVersion V4_1_0_SNAPSHOT).
VERSION_MIN = 232


def unknown_code(port):
    with wire.Connection(port) as connection:
        header, _, _ = connection.ask(wire.request(UNKNOWN_CODE, {"a": "b"}, opaque=77))
        require(header["code"] == REQUEST_CODE_NOT_SUPPORTED, f"code {header['code']} instead of 3")
        require(header["opaque"] == 77 and header["flag"] & wire.RESPONSE, f"not an answer to opaque 77: {header}")
        remark = header.get("remark") or ""
        require(f"request type {UNKNOWN_CODE} not supported" in remark, f"remark {remark!r}")
        header, _, _ = connection.ask(wire.request(UNKNOWN_CODE, opaque=78))
        require(header["opaque"] == 78, "the channel did not answer a second request")


JSON_HEADER = b'{"code":105,"extFields":{"topic":"TBW102"},"flag":0,"language":"JAVA","opaque":1,"version":409}'
CLOSING_FRAMES = {
    "a negative frame length": b"\xff\xff\xff\xff" + bytes(64),
    "a frame length of 0": bytes(64),
    "a frame length above 16 MiB": (FRAME_BYTES_MAX + 1).to_bytes(4, "big") + bytes(64),
    "a header longer than its frame": wire.frame(JSON_HEADER, header_length=len(JSON_HEADER) + 100),
    "serialize type 9": wire.frame(JSON_HEADER, serialize_type=9),
    "a header that is not JSON": wire.frame(b"{code=105, flag" + b" " * 40),
    "a header that is JSON but no command": wire.frame(b'["code", 105]'),
    "a binary header cut short": wire.frame(b"\x00\x69\x00", serialize_type=wire.SERIALIZE_ROCKETMQ),
    "an HTTP request": b"GET / HTTP/1.1\r\nHost: broker\r\n\r\n",
}


def closes(port, data):
    with wire.Connection(port) as connection:
        connection.send(data)
        require(connection.closed_by_peer(), "the server left the channel open, or answered")


def half_a_frame(port):
    """A client that dies in the middle of a frame, many times; and one that announces much and sends nothing."""
    for _ in range(50):
        with wire.Connection(port) as connection:
            connection.send(wire.frame(JSON_HEADER, b"x" * 1000)[:200])
    idle = [wire.Connection(port) for _ in range(20)]
    for connection in idle:
        connection.send(FRAME_BYTES_MAX.to_bytes(4, "big"))
    for connection in idle:
        connection.socket.close()


def noise(port):
    for _ in range(50):
        with wire.Connection(port) as connection:
            try:
                connection.send(os.urandom(4096))
            except OSError:
                pass  # closed while we were still sending: as good an answer as any


def answers(port, code):
    with wire.Connection(port) as connection:
        header, _, _ = connection.ask(wire.request(code))
        require(header["code"] == 0, f"code {header['code']}: {header.get('remark')}")


def missing_field(port):
    with wire.Connection(port) as connection:
        header, _, _ = connection.ask(wire.request(wire.SEND_MESSAGE_V2, {"a": "group"}, b"body"))
        require(header["code"] == SYSTEM_ERROR, f"code {header['code']} instead of 1 for a send without a topic")
        header, _, _ = connection.ask(wire.request(UNKNOWN_CODE, opaque=5))
        require(header["opaque"] == 5, "the channel did not answer afterwards")


def route_forms(port):
    """JSON and binary headers, either answered in a form the sender can read; a compact standard JSON body."""
    with wire.Connection(port) as connection:
        _, _, body = connection.ask(wire.request(wire.GET_ROUTEINFO_BY_TOPIC, {"topic": "TBW102"}))
        route = json.loads(body)
        require(b'"brokerAddrs":{"0":"127.0.0.1:' in body, f"brokerAddrs is not compact, or has unquoted keys: {body!r}")
        require(route["brokerDatas"][0]["brokerName"] == "broker-a", f"no broker-a in {route}")
        header, _, body = connection.ask(wire.binary_request(wire.GET_ROUTEINFO_BY_TOPIC, {"topic": "TBW102"}, 12))
        require(header["code"] == 0 and header["opaque"] == 12, f"answer to a binary header: {header}")
        require(json.loads(body) == route, "another route for a binary header")
        header, _, _ = connection.ask(wire.request(wire.GET_ROUTEINFO_BY_TOPIC, {"topic": "no_such_topic"}))
        require(header["code"] == 17, f"code {header['code']} instead of 17 for an unknown topic")


def loose_values(port, topic):
    """ali-ons sends numbers and booleans where Java sends strings; Java adds serializeTypeCurrentRPC."""
    with wire.Connection(port) as connection:
        header, _, _ = connection.ask(wire.send_request(topic, b"body"))
        require(header["code"] == 0, f"code {header['code']}: {header.get('remark')}")
        answer = header["extFields"]
        require(len(answer.get("msgId", "")) == 32, f"msgId {answer.get('msgId')!r}")
        require("MSG_REGION" in answer and "TRACE_ON" in answer, f"no MSG_REGION or TRACE_ON in {answer}")


def heart_beat(port):
    body = json.dumps({"clientID": "127.0.0.1@raw", "producerDataSet": [{"groupName": "raw"}], "consumerDataSet": []})
    with wire.Connection(port) as connection:
        header, _, _ = connection.ask(wire.request(CODE_HEART_BEAT, body=body.encode()))
        require(header["code"] == 0, f"code {header['code']}: {header.get('remark')}")
        require(header["version"] >= VERSION_MIN, f"version {header['version']}: clients refuse SQL92 below {VERSION_MIN}")


def run(cluster, report):
    """All of it, against both servers; needs the automatic creation of topics."""
    broker, name_server = cluster.broker, cluster.name_server
    with report.check("wire: routes for JSON and binary headers, code 17 for an unknown topic"):
        route_forms(name_server.port)
    with report.check("wire: a heartbeat's answer carries a version that clients trust"):
        heart_beat(broker.port)
    with report.check("wire: header values that are numbers and booleans are understood"):
        loose_values(broker.port, "interop_raw")
    with report.check("wrong input: mqbroker answers a send without its fields with code 1"):
        missing_field(broker.port)
    for server, good_code in ((broker, CODE_GET_BROKER_RUNTIME_INFO), (name_server, CODE_GET_BROKER_CLUSTER_INFO)):
        with report.check(f"wrong input: {server.name} answers an unknown request code with code 3"):
            unknown_code(server.port)
        for what, data in CLOSING_FRAMES.items():
            with report.check(f"wrong input: {server.name} closes the channel after {what}"):
                closes(server.port, data)
        with report.check(f"wrong input: {server.name} lives through half frames and noise, and still answers") as remarks:
            half_a_frame(server.port)
            noise(server.port)
            require(server.alive(), f"{server.name} ended with status {server.child.poll()}")
            answers(server.port, good_code)
            remarks.append(f"{server.rss_mb():.0f} MB resident")
