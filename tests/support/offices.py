"""A chamber's office made in this process by its own commands, for tests of what it then does and
not of how a command starts."""

from typer.testing import CliRunner

from coordinator.cli import app
from coordinator.office import open_office
from coordinator.settings import read_home


def command(home, *words):
    """Run `coordinator WORDS` on this home, without a process of its own."""
    done = CliRunner().invoke(app, [*map(str, words), "--home", str(home)])
    assert done.exit_code == 0, done.output + repr(done.exception)


def found(home):
    """A new office with its genesis in the log; close its database."""
    command(home, "init", "--name", "商会", "--domain", "localhost", "--url", "https://testserver")
    return open_office(read_home(home))
