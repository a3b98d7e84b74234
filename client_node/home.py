"""A node's home folder as a whole: made once, then opened with what it holds, or with the connection too."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from client_node.ledger.ledger import Budget
from client_node.link.egress import Egress
from client_node.link.mirror import Mirror
from client_node.link.uplink import Uplink
from client_node.link.witness import begin_memory
from client_node.settings import CONFIG, Settings, read_home, read_key, write_key
from contracts.errors import Unavailable
from contracts.wording import N_
from shell.places import check_empty, new_home

_LIMITS = N_("Limits of this member. The node refuses whatever goes beyond them, whoever asks.")
_EPSILON = N_(
    "Epsilon at delta, per dataset and protected unit: of one run; of a year; of a year with the held-out units added."
)
_KNOWN = N_(
    "Members that you know, by company code or key, where the agreement shows who is in a round; with fewer of them "
    "this node stays out."
)
_CONFIG = """# {limits}
[data]
folder = {folder}

# {epsilon}
[limits]
epsilon_run_max = "1"
epsilon_year_max = "4"
epsilon_ceiling = "8"
delta = "1e-6"

# {known}
# [trust]
# known = []
# known_min = 0
"""


def create_home(home: Path, data: Path, translate: Callable[[str], str] = str) -> Settings:
    """New keys and a configuration, commented in the language of `translate`, all of them or nothing; Unavailable if a
    node or something else is there."""
    if (home / CONFIG).exists():
        raise Unavailable(
            N_("{home} holds a node already"),
            why=N_("its keys are this member's voice"),
            do=N_("choose another folder with --home"),
            home=home,
        )
    check_empty(home)
    with new_home(home, last=CONFIG) as made:
        (made / "keys").mkdir(parents=True)
        for name in ("node", "witness"):
            write_key(made / "keys" / f"{name}.pem", Ed25519PrivateKey.generate())
        begin_memory(made, read_key(made / "keys" / "witness.pem"))
        said = {"limits": translate(_LIMITS), "epsilon": translate(_EPSILON), "known": translate(_KNOWN)}
        text = _CONFIG.format(folder=json.dumps(str(data.resolve()), ensure_ascii=False), **said)
        (made / CONFIG).write_text(text, encoding="utf-8")
        read_home(made)
    return read_home(home)


def local(home: Path) -> tuple[Settings, Mirror, Budget]:
    """The node as it lies on this disk, without a connection."""
    settings = read_home(home)
    return settings, Mirror(settings, settings.invite), Budget(home / "ledger.db")


def uplink_of(settings: Settings, budget: Budget) -> Uplink:
    """The connection to the coordinator, through the one gate."""
    return Uplink(settings, Egress(budget), settings.invite)


def connected(home: Path) -> tuple[Settings, Mirror, Budget, Uplink]:
    """The node and its connection."""
    settings, mirror, budget = local(home)
    return settings, mirror, budget, uplink_of(settings, budget)


def follow(mirror: Mirror, uplink: Uplink) -> None:
    """Bring this node's copy of the log up to date."""
    while mirror.follow(uplink, 0) is not None:
        pass
