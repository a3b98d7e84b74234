"""Public starts that ship with a task and are known by their digest."""

from __future__ import annotations

from array import array
from importlib.resources import files

from contracts.envelope import digest
from contracts.errors import Invalid
from contracts.statements.artefact import read_artefact
from contracts.wording import N_


def read_start(package: str, file: str, known: str) -> array[float]:
    """The numbers of a start; Invalid unless the file has the digest `known`."""
    data = files(package).joinpath(file).read_bytes()
    if digest(data) != known:
        raise Invalid(
            N_("the public start {name} is not the one this version was made with"),
            why=N_("its digest differs from the one in the code"),
            do=N_("install the package again"),
            name=f"{package}/{file}",
        )
    return read_artefact(data, "model", "d").values
