"""The simulated region: members have names of their own, and books that do not tell the truth folder."""

from demo.world import build, write


def test_sixty_members_have_names_of_their_own_and_only_the_truth_folder_knows_who_will_fail(tmp_path):
    assert len({member.name for member in build(13, "tiny")[1]}) == 13
    places = write(tmp_path, 13, "tiny")
    assert (tmp_path / "truth" / "firms.csv").exists()
    names = {path.name for _, home in places for path in home.rglob("*")}
    assert not {"truth", "firms.csv", "market.csv"} & names
