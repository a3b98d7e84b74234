"""What the local pages and programs ask: each task's votes, held ready, and made anew when model or data change."""

from __future__ import annotations

import hmac
import os
import secrets
import threading
from dataclasses import replace
from pathlib import Path

from client_node.data.mapping import FILE
from client_node.data.tables import stamps
from client_node.home import local
from client_node.rounds.training_data import UNFORESEEN, unforeseen
from client_node.serving.predict import Ready, Result, prepare
from contracts.errors import TrustError, Unavailable
from contracts.wording import N_
from shell.log_lines import log_event
from shell.text_files import read_text

LOOK_S = 15.0


class PreparedModels:
    """Ready tasks of one node. It asks nobody: what the node's long-lived process has fetched is what it serves."""

    def __init__(self, home: Path):
        self._home, self._lock = home, threading.Lock()
        self._settings, self._mirror, self._budget = local(home)
        self._ready: dict[str, tuple[object, Ready]] = {}
        self._own: dict[str, tuple[Ready, Result]] = {}

    @property
    def tasks(self) -> list[str]:
        """Tasks of the active agreement."""
        state = self._mirror.state
        active = state.active_agreement()
        return [task.task for task in state.agreements[active].terms.tasks] if active else []

    def ready(self, task: str) -> Ready:
        """The task's votes; the first time takes as long as fitting the member's own models."""
        held = self._ready.get(task)
        if held is None:
            with self._lock:
                held = self._ready.get(task) or self._make(task)
                self._ready[task] = held
        return held[1]

    def own(self, task: str) -> Result:
        """Results of the member's own file; one receipt for as long as they stay the same."""
        ready = self.ready(task)
        held = self._own.get(task)
        if held is None or held[0].voted is not ready.voted:
            held = self._own[task] = ready, ready.own()
        return held[1]

    def _make(self, task: str) -> tuple[object, Ready]:
        stands_on = self._stands_on(task)
        return stands_on, prepare(self._settings, self._mirror, self._budget, None, task)

    def _stands_on(self, task: str) -> object:
        """What changes when results do: the released run, the member's files, and what was decided about them."""
        run = self._mirror.state.released(task)
        return run and run.run, stamps(self._settings.data, self._home / FILE)

    def look_again(self) -> None:
        """Read the node's copy of the log once more; make anew what stands on something else now."""
        _settings, self._mirror, _budget = local(self._home)
        for task, (stood_on, ready) in list(self._ready.items()):
            same = self._stands_on(task) == stood_on
            self._ready[task] = (stood_on, replace(ready, mirror=self._mirror)) if same else self._make(task)

    def watch(self, stop: threading.Event) -> None:
        """Look again now and then, until `stop`."""
        while not stop.wait(LOOK_S):
            try:
                self.look_again()
            except UNFORESEEN as failure:  # such as a file that is just being written
                error = failure if isinstance(failure, TrustError) else unforeseen(failure)
                log_event.error("results stay as they were", code=error.code, what=str(error))


def own_token(home: Path) -> str:
    """This node's token, made once, readable by its owner only."""
    path = home / "serve.token"
    if not path.exists():
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
    if os.name != "nt" and path.stat().st_mode & 0o077:
        raise Unavailable(N_("{path} can be read by others"), do=N_("delete it; a new one is made"), path=path)
    return read_text(path, do=N_("delete it; a new one is made")).strip()


def is_token(said: str, token: str) -> bool:
    """Compared in constant time."""
    return hmac.compare_digest(said.encode(), token.encode())
