"""How long a member waits for a receipt that a quorum has witnessed: a served coordinator, five members over TLS.

The coordinator is a process of its own; each member has its own home, copy of the log and witness, in a thread.
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from client_node.home import create_home
from client_node.ledger.chain import EMPTY
from client_node.ledger.ledger import Budget
from client_node.link.egress import Egress
from client_node.link.mirror import Mirror
from client_node.link.uplink import Uplink
from client_node.membership import consents
from client_node.membership.joining import ask_admission
from client_node.settings import read_home
from contracts.errors import Unavailable
from contracts.fields import new_id, time_text
from contracts.log.checkpoint import parse_note
from contracts.statements.statements import PrivacyCheck
from demo.cluster import Cluster, company_code

MEMBERS = 5
NOTHING = "sha256:" + "0" * 64


def receipts(count: int) -> list[float]:
    """Seconds from sending a statement to a checkpoint over it that three of five members have cosigned, each time."""
    with tempfile.TemporaryDirectory() as folder, _served(Path(folder)) as (homes, invites):
        ended = threading.Event()
        nodes = [_node(home, invite) for home, invite in zip(homes, invites, strict=True)]
        threads = [threading.Thread(target=_follow, args=(*node, ended)) for node in nodes]
        for thread in threads:
            thread.start()
        mirror, uplink = _node(homes[0], invites[0])
        times = [_one(mirror, uplink) for _ in range(count)]
        ended.set()
        return times


@contextmanager
def _served(folder: Path) -> Iterator[tuple[list[Path], list[Any]]]:
    """A chamber that serves, and five members that have joined."""
    with Cluster(folder, "en") as cluster:
        words = ("--name", "商会", "--domain", "localhost", "--url", cluster.url)
        cluster.command("coordinator", "init", *words, home="chamber")
        cluster.serve()
        homes, invites = [], []
        for number in range(MEMBERS):
            invite = folder / f"{number}.invite"
            words = (f"M{number}", "--code", company_code(number), "--out", invite, "--approve")
            cluster.command("coordinator", "invite", *words, home="chamber")
            held, home = json.loads(invite.read_text("utf-8")), folder / f"node-{number}"
            ask_admission(create_home(home, folder), held)
            homes.append(home)
            invites.append(held)
        yield homes, invites


def _node(home: Path, invite: Any) -> tuple[Mirror, Uplink]:
    settings = read_home(home)
    return Mirror(settings, invite), Uplink(settings, Egress(Budget(home / "ledger.db")), invite)


def _follow(mirror: Mirror, uplink: Uplink, ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            mirror.follow(uplink, 1.0)
        except Unavailable:
            time.sleep(0.1)


def _one(mirror: Mirror, uplink: Uplink) -> float:
    settings, began = mirror._settings, time.perf_counter()
    index = consents.send(settings, mirror, uplink, privacy_check(settings.member))
    while parse_note(uplink.ask("checkpoint", "GET", "/checkpoint").text).checkpoint.size <= index:
        time.sleep(0.01)
    return time.perf_counter() - began


def privacy_check(member: str) -> PrivacyCheck:
    """A statement that a member may make at any time, and that follows nothing."""
    return PrivacyCheck(
        record_id=new_id(),
        issued_at=time_text(datetime.now(UTC)),
        member=member,
        bundle=NOTHING,
        family="trees",
        epsilon_claimed="1",
        epsilon_at_least="0",
        epsilon_visible="3",
        delta="1e-6",
        canaries=1000,
        releases=1,
        faults=(),
        ledger=EMPTY,
    )
