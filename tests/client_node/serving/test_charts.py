"""Charts that can be read: round marks, every period in its place, small numbers told apart."""

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client_node.serving.charts import fan, number, reliability, ticks
from engine.ensemble import Bin


def words(svg):
    return re.findall(r"<text[^>]*>(.*?)</text>", svg)


def points(svg, kind):
    return [tuple(map(float, p.split(","))) for p in svg.partition(f'class="{kind}" points="')[2].split('"')[0].split()]


@given(st.floats(1e-6, 1e12))
def test_marks_are_few_and_reach_the_highest_value(top):
    marks = ticks(top)
    assert marks[0] == 0 and 2 <= len(marks) <= 6 and marks[-1] >= top * (1 - 1e-9) and marks[-2] < top


@pytest.mark.parametrize(("top", "said"), [(3_473_364, "4,000,000"), (39_079, "40,000"), (1.05, "1.5"), (0.04, "0.04")])
def test_marks_are_round_and_never_say_one_number_twice(top, said):
    chart = fan([("2024-01", top)], [("2024-02", (0.0, top / 2, top))], "words", "sales")
    shown = words(chart)
    assert said in shown and len(set(shown)) == len(shown)
    assert shown[-1] == "2024-01" and "2024-02" in shown, "periods to come have their names too"


def test_a_month_that_nobody_booked_leaves_the_others_in_their_place():
    ahead = [("2024-05", (1.0, 2.0, 5.0))]
    whole = fan([("2024-01", 1.0), ("2024-02", 2.0), ("2024-03", 3.0), ("2024-04", 4.0)], ahead, "words", "sales")
    torn = fan([("2024-01", 1.0), ("2024-02", None), ("2024-03", 3.0), ("2024-04", None)], ahead, "words", "sales")
    assert points(torn, "past") == [points(whole, "past")[at] for at in (0, 2)]
    assert points(torn, "ahead") == [points(whole, "past")[2], points(whole, "ahead")[-1]], (
        "from the last that is known"
    )


def test_reliability_names_both_sides_and_its_marks():
    shown = words(reliability([Bin(0.28, 0.36, 0.23, 0.52, 41)], "words", "Told", "Came"))
    assert {"Told", "Came", "20%", "60%"} <= set(shown)


@pytest.mark.parametrize(
    ("value", "said"),
    [(1234567.8, "1,234,568"), (10738.15, "10,738"), (44.27, "44.3"), (-0.7217, "-0.72"), (-0.000187, "0.00")],
)
def test_numbers_have_thousands_apart_and_no_exponent(value, said):
    assert number(value) == said


def test_names_of_weeks_do_not_run_into_each_other():
    weeks = [(f"2024-{at // 4 % 12 + 1:02d}-{at % 4 + 10}", 1.0) for at in range(36)]
    ahead = [(f"2025-01-{10 + at}", (0.0, 1.0, 2.0)) for at in range(9)]
    chart = fan(weeks, ahead, "words", "sales")
    places = sorted(map(float, re.findall(r'<text x="([0-9.]+)" y="[0-9.]+" class="middle', chart)))
    assert len(places) >= 4 and min(b - a for a, b in pairwise(places)) > 80
    assert "2025-01-18" in words(chart)


def test_no_name_of_a_file_hides_in_a_chart():
    name = "轴承\x1b[2J\u202e<b>"
    chart = reliability([Bin(0.28, 0.36, 0.23, 0.52, 41)], name, name, "Came")
    assert chart.isprintable() and chart.count("轴承[U+001B][2J[U+202E]&lt;b&gt;") == 2
