"""Customers that are left out because their receipts leave it open whether they paid; they are
named to the member alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from contracts.wording import N_, filled

_CONFIRM = N_("export or mend the receipt; if it is unpaid indeed: really_unpaid in data.toml")

# rule -> (what is unclear, what to do)
DOUBTS: dict[str, tuple[str, str]] = {
    "receipt-faulty": (N_("a receipt that names it cannot be used, and it is not paid without it"), _CONFIRM),
    "receipt-unmatched": (
        N_("a receipt that names no invoice, or more than its invoice, may have paid it"),
        N_("write its number beside the receipt; if it is unpaid indeed: really_unpaid in data.toml"),
    ),
    "receipt-short": (
        N_("paid for the most part, but not in full"),
        N_("a discount or a fee: tolerance_percent in data.toml; if the rest is unpaid indeed: really_unpaid"),
    ),
    "receipt-unit": (
        N_("paid by the same small share as every invoice that this customer paid: another unit or currency?"),
        N_("bring the receipts into yuan; if the rest is unpaid indeed: really_unpaid in data.toml"),
    ),
    "receipt-early": (
        N_("paid in full more than 200 days before it was issued: is the receipt's year right?"),
        N_("mend the receipt's year; a prepayment has the day on which it was set against the invoice"),
    ),
    "receipt-missing": (
        N_("unpaid for 90 days, though the customer paid later invoices or was supplied on"),
        _CONFIRM,
    ),
    "credit-unclear": (
        N_("a red letter that may belong to several open invoices"),
        N_("export the invoice less its red letter; if it is unpaid indeed: really_unpaid in data.toml"),
    ),
}


@dataclass(frozen=True, slots=True)
class Doubt:
    """A doubtful invoice: its customer is left out (`whole`), or it alone, being older than a
    year before the newest one."""

    place: str
    row: int
    customer: str
    document: str
    rule: str
    whole: bool

    def text(self, translate: Callable[[str], str] = str) -> str:
        """For the member's own terminal: it names customer and invoice."""
        told = N_("{place} row {row}, customer {customer}, invoice {document}: {fault}")
        said = {"place": self.place, "row": self.row, "customer": self.customer, "document": self.document}
        return filled(translate(told), said | {"fault": translate(DOUBTS[self.rule][0])})
