"""What every card of an early warning model says."""

from contracts.wording import N_

GIVES = (
    N_(
        "the probability that the member itself leaves one of its own bills unpaid for 90 days within the next "
        "six months, from its own books"
    ),
    N_("it begins from a prior made from simulated firms, not checked on real ones"),
)
NOT_FOR = (
    N_(
        "bank credit, insurance, tenders or any judgement of a member by somebody else: it is for the member's own eyes"
    ),
    N_("deciding anything about jobs or wages"),
    N_("firms unlike those that were simulated: banks, start-ups without sales, parts of a group that shares its cash"),
    N_("proof that a firm is sound: calls on cash that no book foresees come without a warning"),
)
