"""The background work of a coordinator: what the system refuses for a moment is tried again."""

import threading
from types import SimpleNamespace

import pytest

from coordinator.web import server
from simulator import NOTHING


@pytest.fixture
def serving(monkeypatch):
    state = SimpleNamespace(runs={NOTHING: SimpleNamespace(release=None)})
    made = object.__new__(server.Serving)
    made._office, made._runs, made._stop = (
        SimpleNamespace(log=SimpleNamespace(state=lambda: state)),
        {},
        threading.Event(),
    )
    made.driven, made._static = [], None
    made._calendar = SimpleNamespace(stop=lambda: None)
    made._watch = threading.Thread(target=lambda: None)
    made._watch.start()
    monkeypatch.setattr(made, "_drive_on", made.driven.append)
    return made


def test_a_run_whose_thread_the_system_refused_is_driven_later(serving, monkeypatch):
    def refused(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        with pytest.raises(RuntimeError):
            serving._start_runs()
    serving._start_runs()
    serving.stop()
    assert serving.driven == [NOTHING]


def test_the_process_ends_although_a_thread_never_began(serving, monkeypatch):
    monkeypatch.setattr(threading.Thread, "start", lambda thread: (_ for _ in ()).throw(RuntimeError("no thread")))
    with pytest.raises(RuntimeError):
        serving._start_runs()
    serving.stop()
