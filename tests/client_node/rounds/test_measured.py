"""A node measures its own release path at start and on request, and says what it found."""

from types import SimpleNamespace

import pytest

from client_node.rounds import privacy_check
from contracts.errors import Refused
from contracts.fields import new_id
from contracts.rules.state import EMPTY
from privacy.mechanisms import LatticeGaussian


@pytest.fixture(scope="module", name="node")
def _node(tmp_path_factory):
    return SimpleNamespace(member=new_id(), home=tmp_path_factory.mktemp("node"))


def known(*checks):
    state = EMPTY
    for index, made in enumerate(checks):
        state = SimpleNamespace(privacy_checks={made.member: (index, made)})
    return state


def test_a_sound_node_says_so_with_a_bound_below_its_claim(node):
    made = privacy_check.check(node)
    assert made.faults == () and float(made.epsilon_at_least) <= 1 < float(made.epsilon_visible)
    privacy_check.refuse_if_broken(made)


def test_a_node_whose_noise_is_too_small_refuses_in_three_lines_and_knows_why(node, monkeypatch):
    draw = LatticeGaussian._draw
    monkeypatch.setattr(LatticeGaussian, "_draw", lambda noise: type(draw(noise))("q", (x // 2 for x in draw(noise))))
    made = privacy_check.check(node)
    assert "noise-scale" in made.faults
    with pytest.raises(Refused, match="another size") as refused:
        privacy_check.refuse_if_broken(made)
    assert refused.value.code == "PRIVACY_CHECK" and all(refused.value.lines())


def test_the_log_is_told_once_a_day_and_whenever_the_outcome_or_the_code_changes(node):
    made = privacy_check.check(node)
    assert privacy_check.is_news(known(), made)
    assert not privacy_check.is_news(
        known(made), made.model_copy(update={"record_id": new_id(), "epsilon_at_least": "0.1"})
    )
    for change in (
        {"issued_at": "2030-01-01T00:00:00Z"},
        {"faults": ("noise-scale",)},
        {"bundle": "sha256:" + "1" * 64},
    ):
        assert privacy_check.is_news(known(made), made.model_copy(update=change))
