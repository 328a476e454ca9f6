"""Raw remoting frames (length, header word, JSON header, body), for what no client would send."""

import json
import socket
import struct

from .report import CheckFailed

GET_ROUTEINFO_BY_TOPIC = 105
SEND_MESSAGE_V2 = 310
RESPONSE = 1
SERIALIZE_JSON = 0
SERIALIZE_ROCKETMQ = 1
TIMEOUT_S = 10


def frame(header, body=b"", serialize_type=SERIALIZE_JSON, header_length=None, total_length=None):
    """`header` as bytes; the two lengths can be made to lie."""
    header_length = len(header) if header_length is None else header_length
    total_length = 4 + len(header) + len(body) if total_length is None else total_length
    word = (serialize_type << 24) | (header_length & 0xFF_FFFF)
    return struct.pack(">iI", total_length, word) + header + body


def request(code, fields=None, body=b"", opaque=1, **header):
    content = {"code": code, "flag": 0, "language": "JAVA", "opaque": opaque, "version": 409, **header}
    if fields is not None:
        content["extFields"] = fields
    return frame(json.dumps(content, separators=(",", ":")).encode(), body)


def send_request(topic, body):
    """A send to queue 0 of a topic that is created by it if need be; not all of its values are strings."""
    fields = {
        "a": "raw", "b": topic, "c": "TBW102", "d": 4, "e": 0, "f": 0, "g": 1_700_000_000_000, "h": 0,
        "i": "TAGS\x01A\x02", "j": 0, "k": False,
    }  # fmt: skip
    return request(SEND_MESSAGE_V2, fields, body, serializeTypeCurrentRPC="JSON")


def binary_request(code, fields, opaque):
    """The ROCKETMQ header: code, language, version, opaque, flag, remark, pairs."""
    pairs = b"".join(
        struct.pack(">h", len(key.encode())) + key.encode() + struct.pack(">i", len(value.encode())) + value.encode()
        for key, value in fields.items()
    )
    header = struct.pack(">hbhiii", code, 0, 409, opaque, 0, 0) + struct.pack(">i", len(pairs)) + pairs
    return frame(header, serialize_type=SERIALIZE_ROCKETMQ)


class Connection:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_S)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def _exactly(self, count):
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            if not chunk:
                raise CheckFailed("the server closed the channel instead of answering")
            data += chunk
        return data

    def receive(self):
        """One response: (header as a dict, serialize type, body)."""
        try:
            total, word = struct.unpack(">iI", self._exactly(8))
            content = self._exactly(total - 4)
        except TimeoutError:
            raise CheckFailed(f"no answer within {TIMEOUT_S} s") from None
        serialize_type, header_length = word >> 24, word & 0xFF_FFFF
        header, body = content[:header_length], content[header_length:]
        return (json.loads(header) if serialize_type == SERIALIZE_JSON else decode_binary(header)), serialize_type, body

    def ask(self, data):
        self.send(data)
        return self.receive()

    def closed_by_peer(self):
        """Whether the server closes the channel without a further answer."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False


def decode_binary(header):
    code, _language, version, opaque, flag, remark_length = struct.unpack_from(">hbhiii", header)
    position = struct.calcsize(">hbhiii")
    remark = header[position : position + remark_length].decode()
    position += remark_length
    (pairs_length,) = struct.unpack_from(">i", header, position)
    position += 4
    end, fields = position + pairs_length, {}
    while position < end:
        (length,) = struct.unpack_from(">h", header, position)
        key = header[position + 2 : position + 2 + length].decode()
        position += 2 + length
        (length,) = struct.unpack_from(">i", header, position)
        fields[key] = header[position + 4 : position + 4 + length].decode()
        position += 4 + length
    return {"code": code, "version": version, "opaque": opaque, "flag": flag, "remark": remark, "extFields": fields}


def topic_route(name_server_port, topic):
    """The body of the route reply, or None for an unknown topic."""
    with Connection(name_server_port) as connection:
        header, _, body = connection.ask(request(GET_ROUTEINFO_BY_TOPIC, {"topic": topic}))
        return body if header["code"] == 0 else None
