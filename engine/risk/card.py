"""What every card of a risk model says."""

from contracts.wording import N_

GIVES = (
    N_(
        "the probability that a customer leaves a receivable unpaid for 90 days within the next 180, from the "
        "seller's own books"
    ),
)
NOT_FOR = (
    N_("credit reporting, lending decisions or any use outside trade between members"),
    N_("people: customers are companies"),
    N_("decisions without a person who has seen the reasons"),
    N_("customers with fewer than three invoices, or in an industry that no member trades with"),
)
