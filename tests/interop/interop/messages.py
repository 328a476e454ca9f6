"""What is produced: bodies of mixed size, tags A and B in turn, a key and a user property each; and the comparison."""

import base64
import hashlib
import random
from dataclasses import dataclass

from .report import require

# Around the clients' compression threshold (4096), one byte, and now and then far more than one page.
SIZES_BYTES = (1, 10, 100, 300, 700, 1024, 2000, 4095, 4096, 4097)
LARGE_EVERY = 50
LARGE_BYTES = 60_000


@dataclass(frozen=True)
class Expected:
    key: str
    tag: str
    note: str
    body: bytes

    @property
    def sha256(self):
        return hashlib.sha256(self.body).hexdigest()


def plan(prefix, count):
    """`count` messages; every other body does not compress. The note is not ASCII: properties are UTF-8 on the wire."""
    source = random.Random(prefix)
    messages = []
    for index in range(count):
        size = LARGE_BYTES + index if index % LARGE_EVERY == LARGE_EVERY - 1 else SIZES_BYTES[index % len(SIZES_BYTES)]
        noise = source.randbytes(size)
        body = noise if index // 2 % 2 == 0 else bytes(97 + byte % 3 for byte in noise)
        messages.append(Expected(f"{prefix}-{index}", "AB"[index % 2], f"größe {size}", body))
    return messages


def write_plan(path, messages):
    lines = (f"{m.key}\t{m.tag}\t{m.note}\t{base64.b64encode(m.body).decode()}\n" for m in messages)
    path.write_text("".join(lines), encoding="utf-8")


def compare(expected, received, ids=None, duplicates_allowed=False):
    """`received` are the consumer's (key, tag, sha256, id, note). With `ids`, what the producer was told, the ids must agree
    too. Returns the number of duplicates."""
    by_key = {m.key: m for m in expected}
    counts = {}
    for key, tag, sha256, message_id, note in received:
        require(key in by_key, f"a message that should not be there: key {key}, tag {tag}")
        wanted = by_key[key]
        require(sha256 == wanted.sha256, f"another body under key {key}")
        require(tag == wanted.tag, f"tag {tag} instead of {wanted.tag} on {key}")
        require(note == wanted.note, f"property {note!r} instead of {wanted.note!r} on {key}")
        if ids is not None:
            require(message_id == ids[key], f"id {message_id} instead of the acknowledged {ids[key]} on {key}")
        counts[key] = counts.get(key, 0) + 1
    missing = [m.key for m in expected if m.key not in counts]
    require(not missing, f"{len(missing)} of {len(expected)} messages are missing, the first is {missing[:1]}")
    duplicates = sum(counts.values()) - len(counts)
    require(duplicates_allowed or duplicates == 0, f"{duplicates} messages came more than once")
    return duplicates
