"""Members' files are read in a process apart: what its libraries do there, this process survives.

A workbook of a few kilobytes can make a reader ask for terabytes, abort, or never end. The process apart has a limit of
memory (where the system knows one: not on Windows) and of time, reads one file after another, and ends when nothing
is to be read. It answers with JSON and Arrow files, never with objects: a reader that was taken over gains nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import polars as pl

from client_node.data.formats import READERS
from contracts.errors import Malformed, TrustError, Unavailable
from contracts.wording import N_
from shell.unix import limit_memory

READ_S = 300.0  # of one reading: a workbook of 33 million cells takes a third of it
MEMORY_MB = 6144  # of address space: such a workbook takes half of it
IDLE_S = 20.0  # then the process apart ends; starting it costs a third of a second
_MAIN = "from client_node.data.apart import serve; serve()"
_KINDS: dict[str, type[TrustError]] = {"Malformed": Malformed, "Unavailable": Unavailable}


class ReaderApart:
    """The process apart, started when it is needed. For all threads of this one, one after another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._idle: threading.Timer | None = None

    def call(self, reader: str, path: Path, *words: object) -> Any:
        """What a reader of `formats` makes of a file; Malformed (READER) if it does not come back with it."""
        with self._lock, tempfile.TemporaryDirectory() as folder:
            if self._idle:
                self._idle.cancel()
            said = self._ask({"reader": reader, "path": str(path.absolute()), "words": words, "folder": folder}, path)
            self._idle = threading.Timer(IDLE_S, self.end)
            self._idle.daemon = True
            self._idle.start()
            if "error" in said:
                raise _KINDS[said["error"]](
                    said["what"], why=said["why"], do=said["do"], code=said["code"], **said["values"]
                )
            return pl.read_ipc(said["frame"], memory_map=False) if "frame" in said else said["value"]

    def end(self) -> None:
        """End the process apart, if nobody is just asking it."""
        if self._lock.acquire(blocking=False):
            try:
                self._stop()
            finally:
                self._lock.release()

    def _ask(self, question: dict[str, object], path: Path) -> dict[str, Any]:
        process = self._process or self._started()
        late = threading.Timer(READ_S, process.kill)
        late.start()
        try:
            assert process.stdin and process.stdout
            process.stdin.write(json.dumps(question).encode() + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except OSError:
            answer = b""
        finally:
            is_late = not late.is_alive()
            late.cancel()
        if not answer.endswith(b"\n"):
            raise _given_up(path, is_late, self._stop())
        return dict(json.loads(answer))

    def _started(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MAIN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what a library says there may quote a value
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "POLARS_MAX_THREADS": "2"},
        )
        return self._process

    def _stop(self) -> int:
        """How it ended."""
        process, self._process = self._process, None
        if process is None:
            return 0
        assert process.stdin and process.stdout
        for pipe in (process.stdin, process.stdout):
            pipe.close()
        try:
            return process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()


READER_APART = ReaderApart()


def _given_up(path: Path, is_late: bool, code: int) -> Malformed:
    how = N_("it took more than {seconds} seconds") if is_late else N_("its reader ended by signal or code {signal}")
    return Malformed(
        N_("{file} cannot be read: it makes its reader fail"),
        why=how,
        do=N_("open it in a spreadsheet program, delete what stands far off the table, and export it as CSV"),
        file=path,
        seconds=round(READ_S),
        signal=code,
        code="READER",
    )


def serve() -> None:
    """The process apart: a question a line, an answer a line, until nobody asks any longer."""
    limit_memory(MEMORY_MB * 2**20)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in sys.stdin.buffer:
        answers.write(json.dumps(_answer(json.loads(line))).encode() + b"\n")
        answers.flush()


def _answer(question: dict[str, Any]) -> dict[str, object]:
    path = Path(question["path"])
    try:
        made = READERS[question["reader"]](path, *question["words"])
    except TrustError as error:
        values = {name: str(value) for name, value in error.values.items()}
        said = {"what": error.what, "why": error.why, "do": error.do, "code": error.code, "values": values}
        return {"error": type(error).__name__, **said}
    if not isinstance(made, pl.DataFrame):
        return {"value": made}
    frame = Path(question["folder"]) / "frame.arrow"
    made.write_ipc(frame)
    return {"frame": str(frame)}
