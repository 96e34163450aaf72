#!/usr/bin/env python3
"""Makes fuzz/seeds from the golden data of the tests: small starts that reach every branch of a format at once.

Needs nothing but Python. What it writes is committed; run it again when golden data change."""

import gzip
import hashlib
import io
import json
import pathlib
import shutil
import struct
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SEEDS = ROOT / "fuzz" / "seeds"
GOLDEN = ROOT / "tests" / "golden"
WIRE = ROOT / "compat-tests" / "golden" / "wire"


def put(target, name, data):
    directory = SEEDS / target
    directory.mkdir(parents=True, exist_ok=True)
    (directory / name).write_bytes(data)


def conversations():
    """Name, and per connection the client's frames, the length in front of each."""
    for path in sorted(WIRE.glob("*.jsonl.gz")):
        connections = {}
        for line in gzip.open(path, "rt", encoding="utf-8"):
            entry = json.loads(line)
            if entry.get("t") == "frame" and entry["dir"] == "c2s":
                connections.setdefault(entry["conn"], []).append(bytes.fromhex(entry["hex"]))
        yield path.name.removesuffix(".jsonl.gz"), connections


def requests():
    seen = set()
    for name, connections in conversations():
        for conn, frames in connections.items():
            if conn % 5 == 0:
                put("frame", f"{name}-{conn}", b"".join(f for f in frames[:4] if len(f) < 300))
        # All connections of a recording as one client; the same kind of request, by type and length, only once.
        stream, settings = b"", 1 if "ttl" in name else 4 if "quota" in name else 0
        for frames in connections.values():
            for frame in frames[1:]:
                kind = (frame[8:12], len(frame))
                if len(frame) < 600 and kind not in seen:
                    seen.add(kind)
                    stream += frame
        if stream:
            put("records", name, bytes([settings]) + stream[:6000])


def data_dirs():
    for path in sorted((GOLDEN / "datadirs").glob("*.tar.gz")):
        name = path.name.removesuffix(".tar.gz")
        with tarfile.open(path) as archive:
            for member in archive.getmembers():
                base = member.name.rsplit("/", 1)[-1]
                if member.isfile() and base.startswith(("log.", "snapshot.")):
                    yield name, base, archive.extractfile(member).read()


def log_records(log):
    at = 16
    while at + 13 < len(log):
        length = struct.unpack(">i", log[at + 8:at + 12])[0]
        if length <= 0 or at + 13 + length > len(log):
            return
        yield log[at:at + 13 + length]
        at += 13 + length


def logs():
    """One record of each kind (type, and the types inside a multi) of each writer; and some real ends of logs."""
    kinds = set()
    for name, base, data in data_dirs():
        writer, picked = name.split("-")[0], []
        for record in log_records(data):
            entry = record[12:-1]
            kind = (writer, entry[28:32], entry[36:40] if entry[28:32] == b"\0\0\0\x0e" else b"", len(entry) // 64)
            if kind not in kinds and len(record) < 700:
                kinds.add(kind)
                picked.append(record)
        if picked:
            put("log_file", f"{name}-{base}", bytes([9]) + data[:16] + b"".join(picked)[:4000])
        if "torn" in name and base != "log.1":
            records = list(log_records(data))
            end = 16 + sum(map(len, records))
            keep = max(0, end - 500)
            put("log_file", f"{name}-{base}-end", bytes([0]) + data[:16] + data[max(16, keep):end + 200])


def snapshots():
    for name, base, data in data_dirs():
        if len(data) > 7500 or not data:
            continue
        digest = hashlib.sha256(data).hexdigest()[:6]
        form = 2 if base.endswith(".gz") else 3 if base.endswith(".snappy") else 1
        if base.startswith("snapshot.") and (form > 1 or "snapshot.0" != base or name.startswith("3.9.5-plain")):
            put("snapshot_file", f"{name}-{base}-{digest}", bytes([form | 32]) + data)
            if form == 1:
                # Everything before the first seal, which is eight bytes and "/".
                end = data.find(b"\0\0\0\x01/\0\0\0\0")
                if end > 0:
                    put("snapshot_file", f"{name}-{base}-unsealed", bytes([32 | 12]) + data[:end + 5])


def snappy():
    """The smallest snapshot in xerial's framing, with its one block stored as literals."""
    plain = next(d for n, b, d in data_dirs() if n == "3.9.5-plain" and b == "snapshot.0")
    literal = bytes([61 << 2]) + struct.pack("<H", len(plain) - 1) + plain
    length, varint = len(plain), b""
    while length > 127:
        varint, length = varint + bytes([length & 127 | 128]), length >> 7
    block = varint + bytes([length]) + literal
    stream = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1) + struct.pack(">i", len(block)) + block
    put("snapshot_file", "literal.snappy", bytes([3]) + stream)
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=0, mtime=0) as out:
        out.write(plain)
    put("snapshot_file", "stored.gz", bytes([2]) + packed.getvalue())


def configurations():
    for path in sorted((GOLDEN / "zoo-cfg").iterdir()):
        if path.suffix != ".json":
            put("zoo_cfg", path.name, path.read_bytes() + b"\0-Xmx1g -Dzookeeper.digest.enabled=false")
    samples = sorted((ROOT / "docs").glob("configuration.md"))
    keys = [line.split("`")[1] for page in samples for line in page.read_text().splitlines() if line.startswith("| `")]
    put("zoo_cfg", "every-key", "\n".join(f"{key.replace('*', '1')}=1" for key in keys).encode())


def words():
    rest = bytes((i * 37 + 11) % 251 for i in range(400))
    for word in ["conf", "cons", "dump", "mntr", "stmk", "wchc", "isro", "nope"]:
        put("words", word, word.encode() + struct.pack(">q", -306) + bytes([128, 6]) + b"*,ruok" + rest)
    put("words", "telnet", b"\xff\xf4\xff\xfd\x06")
    put("words", "stmk-short", b"stmk\0\0")


def peers():
    """Packets of a learner and its leader, of each kind one, and all of each side; headers and messages of elections."""
    sides, kinds = {}, set()
    for line in (GOLDEN / "quorum" / "peer-streams.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        port, sender, _, what, data = line.split(" ")
        data = bytes.fromhex(data)
        if what == "snapshot-stream":
            continue
        if what == "initial":
            put("election_handshake", "version-1", data)
            put("election_handshake", "version-2", data[:7] + b"\1" + data[8:16] + struct.pack(">i", 21)
                + b"127.0.0.1:1|[::1]:222")
            put("election_handshake", "number-only", data[8:16])
        elif what == "notification":
            put("notification", f"{sender}-{len(data)}", data[4:])
        else:
            side = bytes([sender == "3"])
            sides[side] = sides.get(side, b"") + data
            if (side, what) not in kinds:
                kinds.add((side, what))
                put("packet", f"{what}-{sender}", side + data)
    for side, data in sides.items():
        put("packet", f"all-{side[0]}", side + data)
    head = struct.pack(">iq", 1, -1)
    body = struct.pack(">qii", 7, 8, 1) + b"rest"
    ids = struct.pack(">ii", 1, 2) + b"ip" + struct.pack(">i", 9) + b"127.0.0.1"
    put("packet", "request", b"\0" + head + struct.pack(">i", len(body)) + body + ids)
    put("packet", "revalidate", b"\0" + struct.pack(">iqiqii", 6, -1, 12, 7, 4000, -1))
    put("packet", "revalidated", b"\1" + struct.pack(">iqiqbi", 6, -1, 9, 7, 1, -1))
    put("packet", "activate", b"\1" + struct.pack(">iqiqi", 9, 5, 8, 3, -1))
    put("packet", "inform-and-activate", b"\1" + struct.pack(">iqiqi", 19, 5, 12, 3, 77) + struct.pack(">i", -1))


if __name__ == "__main__":
    shutil.rmtree(SEEDS, ignore_errors=True)
    for make in [requests, logs, snapshots, snappy, configurations, words, peers]:
        make()
    sizes = {d.name: sum(f.stat().st_size for f in d.iterdir()) for d in sorted(SEEDS.iterdir())}
    for target, size in sizes.items():
        print(f"{target:15} {len(list((SEEDS / target).iterdir())):4} files {size:8} bytes")
    assert sum(sizes.values()) < 300_000, "keep the seeds small"
