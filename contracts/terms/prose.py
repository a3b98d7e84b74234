"""The agreement as people read it: rendered from the fields, and bound to them by its digest."""

from __future__ import annotations

from contracts.envelope import digest
from contracts.errors import Invalid
from contracts.terms import prose_1, prose_2
from contracts.terms.agreement import Prose, Template, Terms
from contracts.wording import N_, Language

TEMPLATE: Template = "mengbang-agreement/2"  # of the agreements that are drafted now
_TEXTS = {1: prose_1.text, 2: prose_2.text}


def prose(terms: Terms, lang: Language) -> str:
    """The text, a function of the fields alone: no two different terms read the same."""
    return _TEXTS[terms.edition](terms, lang)


def with_prose(terms: Terms) -> Terms:
    """The same terms with the digests of their two texts filled in."""
    zh, en = (digest(prose(terms, lang).encode()) for lang in ("zh", "en"))
    return terms.model_copy(update={"prose": Prose(template=terms.prose.template, zh=zh, en=en)})


def check_prose(terms: Terms) -> None:
    """Raise Invalid (PROSE_MISMATCH) unless both texts re-render from the fields."""
    if with_prose(terms).prose != terms.prose:
        raise Invalid(N_("the text of the agreement does not follow from its fields"), code="PROSE_MISMATCH")
