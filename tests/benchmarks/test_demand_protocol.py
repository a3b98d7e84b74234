"""The splits of the public demand sets are those of their READMEs, down to the count of scored values."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.demand.protocol import Setting, gains, retail, score, texas
from engine.demand.quantiles import LEVELS

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
pytestmark = [
    pytest.mark.realdata,
    pytest.mark.skipif(not DATA.is_dir(), reason="the public data sets are not beside the checkout"),
]


def moving_average(setting: Setting, periods: int, origins: range) -> np.ndarray:
    """The README's MovAvg: quantiles of value / mean of the last periods, pooled over all series."""
    least = 0.1 * np.nanmean(setting.values[:, : setting.train_end], 1)

    def scale(t):
        past = setting.values[:, t - periods : t]
        mean = np.where(np.isfinite(past), past, 0).sum(1) / np.isfinite(past).sum(1).clip(1)
        return np.maximum(np.maximum(mean, least), 1e-9)

    ratios = np.concatenate([(setting.values[:, t : t + setting.horizon] / scale(t)[:, None]).ravel() for t in origins])
    levels = np.quantile(ratios[np.isfinite(ratios)], LEVELS)
    return np.stack([np.repeat((scale(t)[:, None] * levels)[:, None], setting.horizon, 1) for t in setting.test], 1)


def test_texas_by_chain_has_the_counts_and_the_moving_average_of_its_readme():
    setting = texas(DATA, "chain")
    assert setting.values.shape == (704, 34) and np.isnan(setting.values).sum() == 280
    sizes = [int((setting.member == name).sum()) for name in setting.members()]
    assert sizes == [4, 4, 6, 6, 7, 9, 10, 13, 13, 15, 18, 19, 20, 21, 22, 24, 32, 43, 46, 46, 61, 63, 202]
    found = score(setting, moving_average(setting, 3, range(4, 26)), setting.test)
    assert found.scored == 8399
    assert (round(found.mase, 3), round(found.wql, 4), round(found.coverage, 2)) == (1.536, 0.0908, 0.77)


def test_texas_by_county_is_another_federation():
    setting = texas(DATA, "county")
    assert setting.values.shape == (2706, 34) and len(setting.members()) == 20
    assert int((setting.member == "Collin").sum()) == 512 and int((setting.member == "Hardin").sum()) == 5


@pytest.mark.parametrize(("part", "wql", "mase"), [("normal", 0.5736, 2.518), ("peak", 0.5382, 1.933)])
def test_retail_has_the_counts_and_the_moving_average_of_its_readme(part, wql, mase):
    setting = retail(DATA, part)
    assert setting.values.shape == (2327, 52) and len(setting.members()) == 24
    found = score(setting, moving_average(setting, 8, range(8, setting.validation[-1] + 1)), setting.test)
    assert (found.scored, round(found.wql, 4), round(found.mase, 3)) == (46540, wql, mase)


def test_no_validation_target_lies_in_the_test_part():
    for setting in (texas(DATA, "chain"), retail(DATA, "normal"), retail(DATA, "peak")):
        assert max(setting.validation) + setting.horizon <= setting.train_end <= min(setting.test)
        assert max(setting.training) + setting.horizon <= min(setting.validation)


def test_a_method_ties_with_itself():
    setting = texas(DATA, "chain")
    found = score(setting, moving_average(setting, 3, range(4, 26)), setting.test)
    assert gains(found, found) == (0, 23, 0)
