"""What the coordinator stores. Signed bytes are the truth; the other columns only index them."""

from __future__ import annotations

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel


class LogEntry(SQLModel, table=True):
    """One entry of the log."""

    index: int = Field(primary_key=True)
    digest: str = Field(unique=True)
    entry: bytes


class PublishedCheckpoint(SQLModel, table=True):
    """A checkpoint that the log key has signed: one root a size, for ever. `signed_at` is Unix
    time, 0 where nobody knows."""

    size: int = Field(primary_key=True)
    root: str
    note: str
    signed_at: float = 0.0


class Cosignature(SQLModel, table=True):
    """A witness's line under a published checkpoint."""

    size: int = Field(primary_key=True)
    name: str = Field(primary_key=True)
    line: str


class Invite(SQLModel, table=True):
    """An invitation, by the digest of its secret."""

    member: str = Field(primary_key=True)
    secret_digest: str
    name: str
    code: str
    expires_at: str
    approved: bool
    used: bool = False


class JoinRequest(SQLModel, table=True):
    """A member that has used its invite and waits for the office."""

    member: str = Field(primary_key=True)
    node_key: str
    register_document: str
    entries: str
    admitted: bool = False


class Document(SQLModel, table=True):
    """Content that the log names by digest."""

    digest: str = Field(primary_key=True)
    kind: str
    author: str
    data: bytes


class UsedNonce(SQLModel, table=True):
    """A nonce that a key has used; kept for two minutes."""

    keyid: str = Field(primary_key=True)
    nonce: str = Field(primary_key=True)
    at: float = Field(index=True)


class LastSeen(SQLModel, table=True):
    """When a member's node was heard last."""

    member: str = Field(primary_key=True)
    at: float


class MemberAhead(SQLModel, table=True):
    """A member whose node says that its copy holds more entries than this log: the database was
    restored, or it is wrong."""

    member: str = Field(primary_key=True)
    size: int = Field(sa_type=BigInteger)


class CutOff(SQLModel, table=True):
    """The cut-off of a round whose replies are all in: decided once, also if the coordinator ends right after."""

    run: str = Field(primary_key=True)
    round: int = Field(primary_key=True)
    cutoff: int


class TaskMessage(SQLModel, table=True):
    """A message of a round to one member, and that member's reply: the journal of the grid.

    `refused`: no reply is waited for any longer; `malformed`: because one came that is not what it should be.
    """

    id: str = Field(primary_key=True)
    run: str = Field(index=True)
    round: int
    open_index: int
    member: str = Field(index=True)
    step: str = "train"
    body: bytes
    line: bytes | None = None
    payload: bytes | None = None
    refused: bool = False
    malformed: bool = False


class ScheduledRun(SQLModel, table=True):
    """A run that is ordered by calendar, what became of it last, and when (UTC) its hour was taken last."""

    name: str = Field(primary_key=True)
    cron: str
    epsilon: str
    min_members: int
    spend_anyway: bool
    taken_at: str
    outcome: str = ""
    run: str = ""
