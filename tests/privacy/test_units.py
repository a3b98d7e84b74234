"""Units: what stays of a large one, and where it is summed, depends on that unit alone."""

import numpy as np

from privacy.units import SMALLEST_SCALE, blocks, row_names, secret_scale


def grouped(names, *, max_rows=4, max_units=10_000, key=b"key"):
    return blocks(names, key, max_rows=max_rows, max_units=max_units)


def test_which_rows_of_a_large_unit_stay_depends_on_that_unit_alone():
    alone, together = grouped(["a"] * 9), grouped(["a"] * 9 + ["b"] * 9)
    assert set(alone.rows) == {r for r in together.rows if r < 9} and len(alone.rows) == 4
    assert set(grouped(["a"] * 9, key=b"other").rows) != set(alone.rows)


def test_one_unit_more_changes_one_bucket_and_no_other():
    names = [f"C{i}" for i in range(3000)]
    buckets = [{frozenset(part.tolist()) for part in contents(grouped(given))} for given in (names, names[:-1])]
    assert len(buckets[0]) == 10 and len(buckets[0] ^ buckets[1]) == 2


def contents(units):
    return [units.rows[part] for part, _ in units.batches]


def test_a_row_without_an_id_is_named_by_what_it_holds():
    x, y = np.arange(12.0).reshape(6, 2), np.zeros(6)
    x[4] = x[1]
    names = row_names(x, y)
    assert len(set(names)) == 6 and set(row_names(np.delete(x, 0, 0), y[1:])) == set(names[1:])
    assert set(row_names(np.delete(x, 1, 0), y[1:])) == set(names) - {names[4]}


def test_weights_of_a_unit_add_to_one():
    units = grouped(["a", "b", "a", "c", "a"])
    assert np.allclose(np.bincount(units.unit, units.weights()), 1)
    assert grouped([]).batches == [] and len(grouped([]).weights()) == 0


def test_a_member_s_scale_is_log_uniform_between_its_bounds_and_the_same_for_life():
    scales = np.array([secret_scale(number.to_bytes(32, "big")) for number in range(20_000)])
    assert SMALLEST_SCALE <= scales.min() < 0.421 and 0.998 < scales.max() <= 1.0
    assert abs(scales.mean() - (1 - SMALLEST_SCALE) / np.log(1 / SMALLEST_SCALE)) < 0.005
    assert abs(np.log(scales).std() - 0.2504) < 0.005
    assert secret_scale(b"key") == secret_scale(b"key") != secret_scale(b"another")
