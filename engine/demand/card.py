"""What every card of a demand model says."""

from contracts.wording import N_

GIVES = (N_("sales of each series, three months, four or nine weeks ahead: median and 80 % band"),)
NOT_FOR = (
    N_("setting prices or agreeing on output"),
    N_("series of less than three periods, single large orders, breaks that no past shows"),
    N_("what prices or promotions to come will change where a member's table does not say them"),
    N_("horizons beyond three months or nine weeks"),
)
