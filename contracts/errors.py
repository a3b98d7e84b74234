"""What can go wrong between parties, in four classes and three lines: what, why, do this."""

from __future__ import annotations

from collections.abc import Callable

from contracts.wording import Lines, filled


class TrustError(Exception):
    """A failure that a person must be able to act on.

    `what`, `why` and `do` are English sentences with `{name}` fields filled from `values`; they are
    the keys of the translation catalogues. `code` is a stable name for programs and auditors. A value that is itself
    made of sentences is a function of the translation, and stands in `why` or `do`.
    """

    code = "ERROR"

    def __init__(self, what: str, *, why: str = "", do: str = "", code: str | None = None, **values: object):
        self.what, self.why, self.do, self.values = what, why, do, values
        self.code = code or type(self).code
        super().__init__(filled(what, values))

    def lines(self, translate: Callable[[str], str] = str) -> tuple[str, str, str]:
        """The three sentences in the reader's language; an absent one is the empty string."""
        values = {name: Lines(value(translate)) if callable(value) else value for name, value in self.values.items()}
        what, why, do = (filled(translate(text) if text else "", values) for text in (self.what, self.why, self.do))
        return what, why, do


class Malformed(TrustError):
    """The bytes cannot be read as what they claim to be."""

    code = "MALFORMED"


class Invalid(TrustError):
    """A proof, digest or signature does not hold."""

    code = "INVALID"


class Refused(TrustError):
    """Everything reads well and a rule says no."""

    code = "REFUSED"


class Unavailable(TrustError):
    """Something needed could not be reached or written; trying again may help."""

    code = "UNAVAILABLE"
