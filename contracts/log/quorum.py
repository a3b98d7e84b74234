"""Who must cosign a checkpoint before anyone relies on it: the rule over the keys of one log
size, and its policy file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from contracts.log.checkpoint import Note, NoteKey, cosigners
from contracts.statements.statements import QuorumRule


def quorum_of(rule: QuorumRule, members: int) -> int:
    """How many of `members` a rule wants; never none, so that nobody relies on a log without witnesses."""
    wanted = {
        "members n//2+1, auditors 1": members // 2 + 1,
        "members 2n//3+1, auditors 1": 2 * members // 3 + 1,
        "members n, auditors 1": members,
    }
    return max(1, wanted[rule])


LATEST = 253_402_300_799  # the last second of the year 9999: a later time is no date


@dataclass(frozen=True, slots=True)
class Quorum:
    """A rule over cosigner name -> key of the members' witnesses and of the auditors of one log size."""

    rule: QuorumRule
    members: Mapping[str, NoteKey]
    auditors: Mapping[str, NoteKey]

    @property
    def of_members(self) -> int:
        """How many members must cosign."""
        return quorum_of(self.rule, len(self.members))

    @property
    def of_auditors(self) -> int:
        """How many auditors must cosign: one, but none while there are none, which whoever verifies must say."""
        return min(1, len(self.auditors))

    def keys(self) -> dict[str, NoteKey]:
        """Everyone whose cosignature counts."""
        return {**self.members, **self.auditors}

    def cosigners(self, note: Note, log: NoteKey) -> dict[str, int]:
        """Name -> time of each cosignature on the note; Invalid if a line is unknown, double or does not hold."""
        return cosigners(note, log, self.keys())

    def is_met(self, names: Iterable[str]) -> bool:
        """These cosigners are enough of both groups."""
        given = set(names)
        return (
            len(given & self.members.keys()) >= self.of_members
            and len(given & self.auditors.keys()) >= self.of_auditors
        )

    def time(self, found: Mapping[str, int]) -> int:
        """When these cosigners (name -> Unix time) had seen a checkpoint: the earliest time but those that a minority
        of the members' witnesses may have made up. Between honest clocks of a quorum, whatever the minority says."""
        times = sorted(found.values())
        return min(times[min((len(self.members) - 1) // 2, len(times) - 1)], LATEST)

    def policy(self, log: NoteKey, url: str) -> str:
        """The C2SP tlog-policy text; a URL stands on every witness line because common parsers want one."""
        lines, groups = [f"log {log.vkey()} {url}"], []
        for group, letter, keys, needed in (
            ("members", "w", self.members, self.of_members),
            ("auditors", "a", self.auditors, self.of_auditors),
        ):
            listed = sorted(keys.values(), key=lambda key: key.name)
            lines += [f"witness {letter}{n} {key.vkey()} {url}" for n, key in enumerate(listed)]
            if listed:
                lines.append(f"group {group} {needed} " + " ".join(f"{letter}{n}" for n in range(len(listed))))
                groups.append(group)
        if len(groups) == 2:
            lines.append("group both all members auditors")
        lines.append("quorum " + ("both" if len(groups) == 2 else groups[0] if groups else "none"))
        return "\n".join(lines) + "\n"
