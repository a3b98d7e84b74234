"""What a check says: findings, what could not be checked, and how each step ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from contracts.errors import TrustError, Unavailable
from contracts.promise import Promise
from contracts.rules.findings import Finding
from contracts.rules.state import EMPTY, TrustState
from contracts.wording import N_

STEPS = 8
ERROR_LENGTH = 200  # characters of an error whose words may be somebody else's


@dataclass(frozen=True, slots=True)
class FileFinding:
    """A finding about one file of the evidence, or about the log as a whole (`file` empty)."""

    code: str
    file: str
    what: str
    values: dict[str, object] = field(default_factory=dict)

    def text(self, translate: Callable[[str], str] = str) -> str:
        """The sentence in the reader's language."""
        return translate(self.what).format_map(self.values)


@dataclass(slots=True)
class AuditStep:
    """One numbered step: findings, unchecked matters, facts to tell, and a short detail line."""

    number: int
    title: str
    findings: list[Finding | FileFinding] = field(default_factory=list)
    not_checked: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    detail: str = ""
    said: list[tuple[str, dict[str, object]]] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)

    def add(self, code: str, what: str, file: str = "", /, **values: object) -> None:
        """Note a finding about a file."""
        self.findings.append(FileFinding(code, file, what, values))

    def caught(self, error: TrustError, file: str = "") -> None:
        """Note a failure as a finding."""
        self.findings.append(FileFinding(error.code, file, error.what, error.values))

    def stumbled(self, error: Exception, file: str) -> None:
        """Note that something nobody foresaw ended a check, while it was about `file`: what was
        not checked is not clean."""
        self.add(
            "UNFORESEEN",
            N_("the check could not be ended, for a reason that nobody foresaw: {error}"),
            file,
            error=f"{type(error).__name__}: {error}"[:ERROR_LENGTH],
        )

    def say(self, what: str, **values: object) -> None:
        """Tell a fact that is neither a fault nor unchecked."""
        self.said.append((what, values))

    def skip(self, what: str, **values: object) -> None:
        """Say what could not be checked, and why."""
        self.not_checked.append((what, values))

    def skip_one_more(self, what: str) -> None:
        """The same about many things is said once, with their number `n`: a log of many rounds must stay readable."""
        for said, values in self.not_checked:
            if said == what:
                values["n"] = int(str(values["n"])) + 1
                return
        self.skip(what, n=1)


@contextmanager
def never_silent(step: AuditStep, file: Callable[[], str] = str) -> Iterator[None]:
    """The last line of defence: whatever ends a check becomes a finding of its step, about the file at hand.

    A log that is absent, and a disk or a network that fails, are for the command to say: nothing was checked then.
    """
    try:
        yield
    except (Unavailable, OSError):
        raise
    except TrustError as error:
        step.caught(error, file())
    except Exception as error:
        step.stumbled(error, file())


@dataclass(frozen=True, slots=True)
class Verdict:
    """All steps; clean only if none has a finding. `state` is what the entries led to, `seen_at` when
    a quorum saw them (Unix)."""

    steps: list[AuditStep]
    size: int
    root: str
    state: TrustState = EMPTY
    seen_at: int | None = None

    def is_whole(self) -> bool:
        """All steps were taken."""
        return len(self.steps) == STEPS

    def findings(self) -> list[Finding | FileFinding]:
        """Everything found, in order of the steps."""
        return [finding for step in self.steps for finding in step.findings]
