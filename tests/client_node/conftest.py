"""A node's home and the folder of its owner's files, both empty."""

import pytest


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir(), (tmp_path / "data").mkdir()
    return tmp_path / "home"


@pytest.fixture
def data(home):
    return home.parent / "data"
