"""What a coordinator holds of its members: its memory and its database are dumped, and each
member's numbers looked for.

The numbers are noised, not masked: what a secure sum is to hide. With plain sums the same search finds them.
"""

import base64
import sys
import threading

import numpy as np
import pytest

from chamber import LENGTH, Chamber, Members
from engine.rounds import SURVIVORS, TRAIN

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]
WINDOW, CHUNK = 8, 1 << 24


def windows(values):
    """Each eight values in a row, as bytes and as base64 at each of its three phases: fifteen values in a row anywhere
    hold one of them whole."""
    words = np.array(values, dtype="<i8")
    for start in range(0, len(words) - WINDOW + 1, WINDOW):
        plain = words[start : start + WINDOW].tobytes()
        yield plain
        for phase in range(3):
            yield base64.b64encode(bytes(phase) + plain)[4 * bool(phase) : -4]


class Search:
    """Finds many patterns in much memory: two 16-bit tables leave few places to look at closely."""

    def __init__(self, patterns):
        self.patterns, self.tables = {}, np.zeros((2, 1 << 16), dtype=bool)
        for pattern in patterns:
            self.patterns.setdefault(pattern[:4], []).append(pattern)
            self.tables[0, int.from_bytes(pattern[:2], "little")] = True
            self.tables[1, int.from_bytes(pattern[2:4], "little")] = True

    def count(self, data):
        """How many of the patterns stand in `data`."""
        found = set()
        for start in range(0, len(data), CHUNK):
            found |= self._in(data[start : start + CHUNK + 128])
        return len(found)

    def _in(self, data):
        if len(data) < 4:
            return set()
        low = np.frombuffer(data, dtype=np.uint8).astype(np.uint16)
        pairs = low[:-1] | low[1:] << 8
        places = np.flatnonzero(self.tables[0][pairs[:-2]] & self.tables[1][pairs[2:]])
        near = ((place, data[place : place + 4]) for place in places.tolist())
        return {one for place, key in near for one in self.patterns.get(key, ()) if data.startswith(one, place)}


def memory(pid):
    """All memory of a process that can be read."""
    held = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for line in maps:
            span, rights, *_ = line.split()
            first, last = (int(end, 16) for end in span.split("-"))
            if rights.startswith("r") and "[v" not in line:
                try:
                    mem.seek(first)
                    held.append(mem.read(last - first))
                except OSError:
                    continue
    assert sum(map(len, held)) > 50 * 2**20, "a coordinator is larger than that"
    return held


def held_by(chamber):
    """Memory and files of the coordinator, one after the other."""
    files = [path.read_bytes() for path in chamber.home.glob("coordinator.db*")]
    assert len(files) >= 2 and sum(map(len, files)) > 50_000
    return b"\x00".join(memory(chamber.process.pid) + files)


class Dumps:
    """Looks into the coordinator when all contributions are there and the round is still open, and at the end."""

    def __init__(self, folder, secure_sum):
        chamber = Chamber(folder, 3, secure_sum)
        self.all_sent, self.looked = threading.Barrier(4), threading.Event()
        waits = {firm.member: self.before for firm in chamber.trust.firms}
        self.last = chamber.trust.firms[-1].member
        if secure_sum == "none":
            waits = {self.last: self.before_the_last}
        with chamber, Members(chamber, folder, waits) as members:
            values = {name: member.values for name, member in members.all.items()}
            self.searches = {name: Search(windows(numbers)) for name, numbers in values.items()}
            if secure_sum == "required":
                self.all_sent.wait(timeout=300)
            else:
                others = [members.all[name] for name in values if name != self.last]
                while not all(member.sent for member in others):
                    self.looked.wait(0.1)
            held = held_by(chamber)
            self.during = self.found(held)
            masked = [members.all[name].published for name in values]
            self.masked = [Search(windows(one)).count(held) for one in masked if one]
            self.looked.set()
            assert chamber.closed().outcome == "recorded"
            self.after = self.found(held_by(chamber))

    def before(self, step):
        """Each member waits before it signs the list of survivors: then all masked contributions have arrived."""
        if step == SURVIVORS and not self.looked.is_set():
            self.all_sent.wait(timeout=300)
            self.looked.wait(timeout=600)

    def before_the_last(self, step):
        """With plain sums the last member waits before its contribution."""
        if step == TRAIN:
            self.looked.wait(timeout=600)

    def found(self, held):
        """{member: number of windows of its numbers that stand in what the coordinator holds}."""
        return {name: search.count(held) for name, search in self.searches.items()}


def test_a_coordinator_holds_no_number_of_any_member_in_a_masked_round(tmp_path):
    made = Dumps(tmp_path, "required")
    assert set(made.during.values()) == set(made.after.values()) == {0}, (made.during, made.after)
    assert all(count >= LENGTH // WINDOW for count in made.masked), "the search sees what is there: the masked bytes"


def test_the_same_search_finds_every_member_where_sums_are_plain(tmp_path):
    made = Dumps(tmp_path, "none")
    assert {name for name, count in made.during.items() if count >= LENGTH // WINDOW} == made.searches.keys() - {
        made.last
    }
    assert all(count >= LENGTH // WINDOW for count in made.after.values())
