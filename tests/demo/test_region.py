"""The simulated region: the same world from the same seed, truth that books do not tell, events enough to learn from."""

import numpy as np
from polars.testing import assert_frame_equal

from demo.firms import HORIZON, RATIOS, simulate
from demo.world import build, write


def test_the_same_seed_gives_the_same_firms_and_another_seed_others():
    first, again, other = simulate(40, 48, 1), simulate(40, 48, 1), simulate(40, 48, 2)
    assert_frame_equal(first.rows(0, 48), again.rows(0, 48))
    assert not first.rows(0, 48).equals(other.rows(0, 48))


def test_a_firm_in_distress_is_watched_no_longer_and_its_last_months_are_marked():
    world = simulate(120, 72, 0)
    rows = world.rows(0, 72)
    assert rows["month"].max() == 72 - HORIZON - 1, "nobody knows yet how later months end"
    for firm in np.flatnonzero(world.onset >= 0):
        own = rows.filter(rows["firm"] == f"F{firm:03d}")
        ahead = world.onset[firm] - own["month"].to_numpy()
        assert (ahead > 0).all() and ((ahead <= HORIZON) == (own["distressed"].to_numpy() == 1)).all()


def test_distress_is_rare_but_there_and_a_tenth_of_what_is_shown_is_missing():
    rates = [float(np.mean(simulate(120, 72, seed).onset >= 0)) for seed in range(6)]
    assert all(0.1 < rate < 0.6 for rate in rates)
    shown = simulate(120, 72, 0).rows(0, 72).select(list(RATIOS))
    assert 0.05 < sum(shown.null_count().row(0)) / (shown.height * shown.width) < 0.15


def test_sixty_members_have_names_of_their_own_and_only_the_truth_folder_knows_who_will_fail(tmp_path):
    assert len({member.name for member in build(13, "tiny")[1]}) == 13
    places = write(tmp_path, 13, "tiny")
    assert (tmp_path / "truth" / "firms.csv").exists()
    names = {path.name for _, home in places for path in home.rglob("*")}
    assert not {"truth", "firms.csv", "market.csv"} & names
