#!/usr/bin/env python3
"""Checks protocol-1.json with a second implementation of docs/protocol.md, written from that text.

Run it without arguments: `python3 sharechain/tests/vectors/check.py`. It needs nothing but Python 3.8. It replays the
vectors' chain through checks 1 to 7 and says what it has checked, or fails at the first difference. It is slow, keeps
everything, and knows only Bitcoin networks without retargets in its replay; it is for reading beside the protocol.
"""

import json
import struct
from hashlib import sha256
from pathlib import Path

MAX_MONEY = 21_000_000 * 100_000_000
COMMITMENT_HEAD = bytes(8) + bytes([46, 0x6A, 44])


def equal(found, expected, what):
    if found != expected:
        raise SystemExit(f"{what}: found {found}, the vectors have {expected}")


# --- hashes (section 4.1) -----------------------------------------------------------------------------------------


def primes(count):
    found = []
    n = 2
    while len(found) < count:
        if all(n % p for p in found):
            found.append(n)
        n += 1
    return found


def root_bits(n, power):
    """The first 32 bits of the fraction of the square or cube root of n."""
    low, high = 0, n << 32
    while high - low > 1:
        middle = (low + high) // 2
        if middle**power <= n << (32 * power):
            low = middle
        else:
            high = middle
    return low & 0xFFFFFFFF


ROUND = [root_bits(p, 3) for p in primes(64)]
INITIAL = tuple(root_bits(p, 2) for p in primes(8))


def compress(state, block):
    def turn(x, n):
        return (x >> n | x << (32 - n)) & 0xFFFFFFFF

    w = list(struct.unpack(">16I", block))
    for i in range(16, 64):
        s0 = turn(w[i - 15], 7) ^ turn(w[i - 15], 18) ^ w[i - 15] >> 3
        s1 = turn(w[i - 2], 17) ^ turn(w[i - 2], 19) ^ w[i - 2] >> 10
        w.append((w[i - 16] + s0 + w[i - 7] + s1) & 0xFFFFFFFF)
    a, b, c, d, e, f, g, h = state
    for k, word in zip(ROUND, w):
        t1 = h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + (e & f ^ ~e & g) + k + word
        t2 = (turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + (a & b ^ a & c ^ b & c)
        a, b, c, d, e, f, g, h = (t1 + t2) & 0xFFFFFFFF, a, b, c, (d + t1) & 0xFFFFFFFF, e, f, g
    return tuple((x + y) & 0xFFFFFFFF for x, y in zip(state, (a, b, c, d, e, f, g, h)))


def midstate(data):
    state = INITIAL
    for at in range(0, len(data), 64):
        state = compress(state, data[at : at + 64])
    return struct.pack(">8I", *state)


def finish(state, done, tail):
    """SHA-256 of a message whose first `done` bytes led to `state` and whose rest is `tail`."""
    data = tail + b"\x80" + bytes(-(len(tail) + 9) % 64) + struct.pack(">Q", 8 * (done + len(tail)))
    state = struct.unpack(">8I", state)
    for at in range(0, len(data), 64):
        state = compress(state, data[at : at + 64])
    return struct.pack(">8I", *state)


def hash256(data):
    return sha256(sha256(data).digest()).digest()


def tagged(name, message):
    tag = sha256(f"commonwork/{name}".encode()).digest()
    return sha256(tag + tag + message).digest()


def number(hash_bytes):
    return int.from_bytes(hash_bytes, "little")


# --- targets and scores (section 2) ---------------------------------------------------------------------------------


def to_compact(target):
    size = (target.bit_length() + 7) // 8
    mantissa = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if mantissa & 0x800000:
        mantissa, size = mantissa >> 8, size + 1
    return size << 24 | mantissa


def from_compact(bits):
    size, mantissa = bits >> 24, bits & 0x7FFFFF
    target = mantissa >> 8 * (3 - size) if size <= 3 else mantissa << 8 * (size - 3)
    return target if 0 < target < 1 << 256 and to_compact(target) == bits else None


def rounded(target):
    return from_compact(to_compact(target))


def work(target):
    return (1 << 256) // (target + 1)


def score(share, network):
    return min((work(share) << 64) // work(network), 4 << 64)


# --- chain parameters (section 3) -----------------------------------------------------------------------------------

NUMBERS = (
    "network_bits first_height spacing shares_per_block easiest_bits retarget_constant stall_relief future_limit "
    "base_depth include_depth payout_interval max_listed window_blocks"
).split()


class Params:
    def __init__(self, data):
        reader = Reader(data)
        self.id = tagged("chain", data)
        self.name = reader.take(reader.size(32)).decode()
        self.network = reader.take(1)[0]
        self.first_block = reader.take(32)
        for name in NUMBERS:
            setattr(self, name, reader.u32())
        self.window_score = int.from_bytes(reader.take(16), "little")
        self.smallest_payout = reader.u64()
        self.classes = [reader.u16() for _ in range(reader.size(16))]
        reader.end()
        self.easiest = from_compact(self.easiest_bits)

    def subsidy(self, height):
        return 5_000_000_000 >> height // (210_000 if self.network < 3 else 150)

    def easiest_share_target(self, base_target):
        return rounded(min(base_target * self.shares_per_block, (1 << 256) - 1))


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, count):
        assert count <= len(self.data), "truncated"
        head, self.data = self.data[:count], self.data[count:]
        return head

    def u16(self):
        return int.from_bytes(self.take(2), "little")

    def u32(self):
        return int.from_bytes(self.take(4), "little")

    def u64(self):
        return int.from_bytes(self.take(8), "little")

    def size(self, most):
        first = self.take(1)[0]
        width, least = {0xFD: (2, 0xFD), 0xFE: (4, 1 << 16), 0xFF: (8, 1 << 32)}.get(first, (0, 0))
        value = int.from_bytes(self.take(width), "little") if width else first
        assert least <= value <= most, "not canonical"
        return value

    def end(self):
        assert not self.data, "trailing bytes"


# --- the block target (section 5) -----------------------------------------------------------------------------------


def next_target(params, parent, time):
    """`parent` is None at the root, else (target, time, parent's time or None, newest time of its last 11)."""
    if parent is None or parent[2] is None:
        return params.easiest
    target, parent_time, grandparent_time, newest = parent
    late = parent_time - grandparent_time - params.spacing
    exponent = abs(late) * 65536 // params.retarget_constant * (1 if late >= 0 else -1)
    whole, f = exponent >> 16, exponent & 0xFFFF
    factor = 65536 + (195766423245049 * f + 971821376 * f**2 + 5127 * f**3 + (1 << 47) >> 48)
    product = target * factor
    target = product << whole - 16 if whole >= 16 else product >> 16 - whole
    target = min(max(target, 1), params.easiest)
    silence = time - newest
    if silence > params.stall_relief:
        target = min(target << min(silence // params.stall_relief, 256), params.easiest)
    return rounded(target)


# --- payout (section 6) ---------------------------------------------------------------------------------------------


def dust(script):
    return {25: 546, 23: 540, 22: 294}.get(len(script), 330)


def ranked(entries):
    return sorted(((s, w) for s, w in entries if w), key=lambda e: (-e[1], e[0]))


def sampling(entries, most):
    """(entries paid exactly, the others, sum of the others, slots)."""
    if len(entries) <= most:
        return entries, [], 0, 0
    rest = sum(w for _, w in entries)
    for j, (_, w) in enumerate(entries):
        if w * (most - j) < rest:
            return entries[:j], entries[j:], rest, most - j
        rest -= w


def smallest(entries, most):
    exact, _, rest, slots = sampling(entries, most)
    return rest // slots if slots else exact[-1][1]


def draw(entries, most, seed):
    exact, others, rest, slots = sampling(entries, most)
    paid = list(exact)
    u = number(seed) % rest if rest else 0
    before, slot = 0, 0
    for script, w in others:
        after = before + w * slots
        if slot < slots and before <= u + slot * rest < after:
            paid.append((script, (slot + 1) * rest // slots - slot * rest // slots))
            slot += 1
        before = after
    return ranked(paid)


def selections(params, entries, prev_block, subsidy):
    """{class: entries}, drawn from the largest class down."""
    total, shared = sum(w for _, w in entries), subsidy * 9_950 // 10_000
    found = {}
    for stage, size in enumerate(reversed(params.classes)):
        if total == 0 or shared < params.smallest_payout:
            found[size] = []
            continue
        fits = lambda m: m == 1 or smallest(entries, m) * shared // total >= params.smallest_payout
        most = max(m for m in range(1, size + 1) if fits(m))
        entries = draw(entries, most, seed(params.id, prev_block, stage))
        found[size] = entries
    return found


def seed(chain_id, prev_block, stage):
    return tagged("payout", chain_id + prev_block + bytes([stage]))


def split(entries, value, finder):
    if value == 0:
        return [], []
    bonus = value * 50 // 10_000
    bonus = bonus if bonus >= dust(finder) else 0
    rest, total = value - bonus, sum(w for _, w in entries)
    if not entries:
        outputs = [(finder, rest)]
    else:
        sats = {s: w * rest // total for s, w in entries}
        order = sorted(entries, key=lambda e: (-(e[1] * rest % total), e[0]))
        for script, _ in order[: rest - sum(sats.values())]:
            sats[script] += 1
        outputs = ranked(sats.items())
    return outputs, [(finder, bonus)] if bonus else []


# --- shares (section 4) ---------------------------------------------------------------------------------------------


class Share:
    def __init__(self, data, chain_id):
        r = Reader(data)
        self.head, self.prev_block = r.take(4), r.take(32)
        self.header_time, self.header_bits, self.nonce = r.u32(), r.u32(), r.take(4)
        self.extranonce = r.take(12)
        self.branch = [r.take(32) for _ in range(r.size(16))]
        self.midstate, self.prefix_len = r.take(32), r.u16()
        assert 80 <= self.prefix_len <= 19_952
        self.hashed = (self.prefix_len - 11) // 64 * 64
        self.rest = r.take(self.prefix_len - self.hashed)
        self.commitment = r.data
        self.version, self.signals, self.bitcoin_height, self.value = r.u32(), r.u32(), r.u32(), r.u64()
        self.tag = r.take(r.size(40))
        assert not self.tag or (len(self.tag) > 1 and self.tag[0] == len(self.tag) - 1)
        self.witness, self.parent, self.base = r.take(32), r.take(32), r.take(32)
        self.height, self.time, self.bits, self.share_bits = r.u32(), r.u32(), r.u32(), r.u32()
        self.owner = r.take(r.size(34))
        self.size, self.includes = r.u16(), r.take(32)
        r.end()
        self.commitment_hash = tagged("commitment", chain_id + self.commitment)
        locktime = struct.pack("<I", self.bitcoin_height - 1)
        tail = self.rest + self.commitment_hash + self.extranonce + locktime
        self.txid = sha256(finish(self.midstate, self.hashed, tail)).digest()
        root = self.txid
        for sibling in self.branch:
            root = hash256(root + sibling)
        times = struct.pack("<II", self.header_time, self.header_bits)
        self.header = self.head + self.prev_block + root + times + self.nonce
        self.id = hash256(self.header)


def coinbase_prefix(share, outputs, bonus):
    height = share.bitcoin_height
    if height <= 16:
        push = bytes([0x50 + height])
    else:
        digits = height.to_bytes((height.bit_length() + 8) // 8, "little")
        push = bytes([len(digits)]) + digits
    paid = outputs + bonus
    parts = [struct.pack("<I", 2), b"\1", bytes(32), b"\xff" * 4, compact_size(len(push + share.tag)), push, share.tag]
    parts += [struct.pack("<I", 0xFFFFFFFE), compact_size(len(paid) + 2)]
    parts += [struct.pack("<Q", sats) + compact_size(len(script)) + script for script, sats in paid]
    parts += [bytes(8), bytes([38, 0x6A, 0x24, 0xAA, 0x21, 0xA9, 0xED]), share.witness, COMMITMENT_HEAD]
    return b"".join(parts)


def compact_size(n):
    return bytes([n]) if n < 0xFD else b"\xfd" + struct.pack("<H", n)


def bind(params, share):
    """Checks 1 and 2. Whether it meets its share target, and its block target."""
    target = from_compact(share.share_bits)
    assert target and target <= params.easiest_share_target(params.easiest), "share bits"
    assert share.rest.endswith(COMMITMENT_HEAD), "not bound"
    block_target = from_compact(share.bits)
    is_share = number(share.id) <= target
    is_block = bool(block_target) and block_target <= params.easiest and number(share.id) <= block_target
    assert is_share or is_block, "no proof of work"
    assert share.version == 1 and share.bitcoin_height >= 1 and share.size in params.classes
    assert share.tag or share.bitcoin_height > 16
    assert params.subsidy(share.bitcoin_height) <= share.value <= MAX_MONEY
    return is_share, is_block


# --- the chain (sections 4 and 7) -----------------------------------------------------------------------------------


class Chain:
    def __init__(self, params, first_header):
        self.params, self.headers, self.blocks, self.shares = params, {}, {}, {}
        self.tip = params.id
        first = hash256(first_header)
        equal(first.hex(), params.first_block.hex(), "first Bitcoin block")
        self.headers[first] = self.header_row(None, params.first_height, first_header)

    def header_row(self, parent, height, data):
        bits = struct.unpack("<I", data[72:76])[0]
        own = work(from_compact(bits))
        before = self.headers[parent]["work"] if parent else 0
        time = struct.unpack("<I", data[68:72])[0]
        return dict(parent=parent, height=height, time=time, work=before + own, less=before)

    def add_header(self, data):
        parent = data[4:36]
        assert struct.unpack("<i", data[:4])[0] >= 4 and data[72:76] == struct.pack("<I", self.params.network_bits)
        row = self.header_row(parent, self.headers[parent]["height"] + 1, data)
        assert row["time"] > self.header_median(parent)
        assert number(hash256(data)) <= from_compact(self.params.network_bits)
        self.headers[hash256(data)] = row

    def header_median(self, at):
        times = []
        while at and len(times) < 11:
            times.append(self.headers[at]["time"])
            at = self.headers[at]["parent"]
        return sorted(times)[len(times) // 2]

    def height(self, block):
        return self.blocks[block]["height"] if block != self.params.id else 0

    def work(self, block):
        return self.blocks[block]["work"] if block != self.params.id else 0

    def back_from(self, block, count):
        while block != self.params.id and count:
            yield self.blocks[block]
            block, count = self.blocks[block]["parent"], count - 1

    def ancestor(self, block, height):
        while self.height(block) > max(height, 0):
            block = self.blocks[block]["parent"]
        return block

    def window(self, block):
        left, sums = self.params.window_score, {}
        for row in self.back_from(block, self.params.window_blocks):
            for script, points in reversed(row["credits"]):
                part = min(points, left)
                left -= part
                sums[script] = sums.get(script, 0) + part
        return ranked(sums.items())

    def due(self, share):
        """The outputs and the bonus that the coinbase of a share pays."""
        block, interval = share.base, self.params.payout_interval
        while block != self.params.id:
            row = self.blocks[block]
            if row["height"] % interval == 0 and row["bitcoin_height"] < share.bitcoin_height:
                break
            block = row["parent"]
        chosen = selections(self.params, self.window(block), share.prev_block, self.params.subsidy(share.bitcoin_height))
        return split(chosen[share.size], share.value, share.owner)

    def verify(self, share):
        """Checks 3 to 6. The share's score."""
        params = self.params
        base_target = params.easiest if share.base == params.id else self.blocks[share.base]["target"]
        target = from_compact(share.share_bits)
        assert base_target <= target <= params.easiest_share_target(base_target), "share target"
        follows = self.height(share.base) + params.base_depth + 1
        heights = range(1, follows + 1) if share.base == params.id else [follows]
        assert share.height in heights, "height"
        prev = self.headers[share.prev_block]
        assert share.bitcoin_height == prev["height"] + 1 and share.header_bits == params.network_bits
        assert struct.unpack("<i", share.head)[0] >= 4
        assert self.header_median(share.prev_block) < share.header_time <= share.time + 7_200
        prefix = coinbase_prefix(share, *self.due(share))
        assert len(prefix) == share.prefix_len and prefix[share.hashed :] == share.rest, "coinbase"
        assert midstate(prefix[: share.hashed]) == share.midstate, "coinbase"
        return score(target, from_compact(params.network_bits))

    def is_fresh(self, share, at):
        best, less, reached = 0, 0, 0
        for row in reversed(list(self.back_from(at, -1))):
            prev = self.headers[row["prev_block"]]
            if prev["work"] > best:
                best, less, reached = prev["work"], prev["less"], row["height"]
        own = self.headers[share.prev_block]["work"]
        return own >= best or (reached + 2 >= self.height(at) and own >= less)

    def check_block(self, share, listed_ids):
        """Check 7. The block's row."""
        params, parent = self.params, share.parent
        base = self.ancestor(parent, self.height(parent) - params.base_depth)
        height = self.height(parent) + 1
        assert share.base == base and share.height == height
        times = [row["time"] for row in self.back_from(parent, 11)]
        assert not times or share.time > sorted(times)[len(times) // 2], "median time"
        last = list(self.back_from(parent, 2))
        input = last and (last[0]["target"], last[0]["time"], last[1]["time"] if len(last) > 1 else None, max(times))
        target = next_target(params, input or None, share.time)
        equal(share.bits, to_compact(target), "bits")
        assert self.is_fresh(share, parent)
        message = compact_size(len(listed_ids)) + b"".join(listed_ids)
        equal(tagged("includes", message).hex(), share.includes.hex(), "includes")
        assert len(listed_ids) <= params.max_listed and len(set(listed_ids) | {share.id}) == len(listed_ids) + 1
        recent = {i for row in self.back_from(parent, params.include_depth) for i in row["credited"]}
        own, points = self.shares[share.id][1:]
        credits = [(share.owner, points)] if own else []
        for listed, is_share, points in (self.shares[i] for i in listed_ids):
            assert is_share and listed.id not in recent
            assert self.ancestor(base, self.height(listed.base)) == listed.base
            assert listed.height <= height <= listed.height + params.include_depth
            assert listed.time <= share.time + params.future_limit
            assert self.is_fresh(listed, self.ancestor(parent, max(listed.height - 1, height - 21)))
            credits += [(share.owner, points // 256), (listed.owner, points - points // 256)]
        return dict(
            id=share.id, parent=parent, height=height, time=share.time, bits=share.bits, target=target,
            work=self.work(parent) + work(target), bitcoin_height=share.bitcoin_height, prev_block=share.prev_block,
            credits=credits, credited=[share.id] * own + listed_ids,
        )  # fmt: skip

    def take(self, share, listed_ids):
        is_share, is_block = bind(self.params, share)
        self.shares[share.id] = (share, is_share, self.verify(share))
        if is_block:
            row = self.check_block(share, listed_ids)
            self.blocks[share.id] = row
            if row["work"] > self.work(self.tip):
                self.tip = share.id


# --- the vectors ----------------------------------------------------------------------------------------------------


def unhex(entries):
    return [(bytes.fromhex(script), int(n)) for script, n in entries]


def main():
    vectors = json.loads((Path(__file__).parent / "protocol-1.json").read_text())
    chains = {}
    for v in vectors["chains"]:
        params = Params(bytes.fromhex(v["bytes"]))
        equal(params.id.hex(), v["chain_id"], v["what"])
        chains[v["chain_id"]] = params
    main_chain = Params(bytes.fromhex(vectors["chains"][0]["bytes"]))
    for v in vectors["targets"]:
        target = from_compact(int(v["bits"], 16))
        equal(target.to_bytes(32, "big").hex(), v["target"], v["bits"])
        equal(work(target), int(v["work"]), v["bits"])
    for bits in vectors["not_targets"]:
        equal(from_compact(int(bits, 16)), None, bits)
    for v in vectors["scores"]:
        equal(score(*(from_compact(int(v[k], 16)) for k in ("share_bits", "network_bits"))), int(v["score"]), "score")
    for v in vectors["retargets"]:
        parent = from_compact(int(v["parent_bits"], 16)), v["parent_time"], v["grandparent_time"], v["newest_time"]
        equal(to_compact(next_target(main_chain, parent, v["time"])), int(v["bits"], 16), f"retarget {v}")
    for v in vectors["includes"]:
        message = compact_size(len(v["ids"])) + bytes.fromhex("".join(v["ids"]))
        equal(tagged("includes", message).hex(), v["hash"], "includes")
    for v in vectors["payouts"]:
        check_payout(main_chain, v)
    check_share(chains, vectors["share"])
    events = check_chain(chains, vectors["chain"])
    print(f"all right: {len(chains)} chains, {len(vectors['payouts'])} payouts, one share, a chain of {events} events")


def check_payout(main_chain, v):
    params = Params.__new__(Params)
    params.id, params.classes, params.smallest_payout = bytes.fromhex(v["chain_id"]), v["classes"], v["smallest_payout"]
    prev_block, finder = bytes.fromhex(v["prev_block"]), bytes.fromhex(v["finder"])
    entries = unhex(v["entries"])
    equal(ranked(entries), entries, "entries")
    chosen = selections(params, entries, prev_block, v["subsidy"])
    for stage, expected in enumerate(v["stages"]):
        equal(seed(params.id, prev_block, stage).hex(), expected["seed"], "seed")
        equal(chosen[expected["class"]], unhex(expected["selected"]), f"class {expected['class']}")
        outputs, bonus = split(chosen[expected["class"]], v["value"], finder)
        equal((outputs, bonus), (unhex(expected["outputs"]), unhex(expected["bonus"])), "outputs")
        equal(sum(sats for _, sats in outputs + bonus), v["value"], "the sum")


def check_share(chains, v):
    params = chains[v["chain_id"]]
    share = Share(bytes.fromhex(v["bytes"]), params.id)
    assert bind(params, share)[0]
    prefix = bytes.fromhex(v["coinbase_prefix"])
    locktime = struct.pack("<I", share.bitcoin_height - 1)
    coinbase = prefix + share.commitment_hash + share.extranonce + locktime
    found = dict(
        commitment=share.commitment, commitment_hash=share.commitment_hash, midstate=midstate(prefix[: share.hashed]),
        coinbase=coinbase, txid=hash256(coinbase), header=share.header, id=share.id,
    )  # fmt: skip
    for name, value in found.items():
        equal(value.hex(), v[name], name)
    equal((share.midstate, share.txid), (found["midstate"], found["txid"]), "link")
    equal((share.hashed, share.rest), (v["midstate_length"], prefix[share.hashed :]), "link")


def check_chain(chains, v):
    params = chains[v["chain_id"]]
    chain = Chain(params, bytes.fromhex(v["first_bitcoin_header"]))
    for event in v["events"]:
        if "bitcoin_header" in event:
            chain.add_header(bytes.fromhex(event["bitcoin_header"]))
        else:
            share = Share(bytes.fromhex(event["share"]), params.id)
            chain.take(share, [bytes.fromhex(i) for i in event["includes"]])
    found = [
        dict(
            id=row["id"].hex(), height=row["height"], bits=f"{row['bits']:08x}", work=str(row["work"]),
            credited=[i.hex() for i in row["credited"]],
        )
        for row in reversed(list(chain.back_from(chain.tip, -1)))
    ]  # fmt: skip
    equal(found, v["blocks"], "blocks")
    equal(chain.window(chain.tip), unhex(v["window"]), "window")
    block = bytes.fromhex(v["next"]["block_without_its_list"])
    equal(block[-1], 0, "listed shares")
    share = Share(block[:-1], params.id)
    equal(chain.due(share), (unhex(v["next"]["outputs"]), unhex(v["next"]["bonus"])), "the next coinbase")
    chain.take(share, [bytes.fromhex(i) for i in v["next"]["includes"]])
    equal(chain.tip, share.id, "the next block")
    return len(v["events"])


if __name__ == "__main__":
    main()
