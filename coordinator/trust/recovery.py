"""An older database was restored, and members hold more of the log: its lost entries come back from copies of theirs.

What comes back is what the log's own key has signed and lies on one tree with all that is here. It is taken in one
transaction, whole or not at all, and the log goes on from there. What the database held beside the log comes back as
far as a copy holds it and the log names it; the rest is counted, and said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session, insert

from contracts.envelope import digest, key_id
from contracts.errors import Invalid, Refused, TrustError, Unavailable
from contracts.log.checkpoint import Note, NoteSignature, verify_cosignature
from contracts.log.contribution_list import MOST_MEMBERS, read_list
from contracts.log.merkle import Tree, leaf_hash
from contracts.rules.fold import apply
from contracts.rules.members import register_document
from contracts.rules.state import TrustState
from contracts.wording import N_
from coordinator.office import Office
from coordinator.store.ahead import ahead
from coordinator.store.log import Log
from coordinator.store.tables import Cosignature, Document, Invite, JoinRequest, LogEntry, PublishedCheckpoint
from coordinator.trust.certificates import ca_digest
from coordinator.trust.members import take_name
from shell.log_folder import LogFolder

STEP = 4096  # entries in memory at a time


@dataclass(frozen=True, slots=True)
class Lost:
    """What copies of the log hold and this database does not, checked: `entries` follow those that are here."""

    start: int
    entries: tuple[bytes, ...]
    state: TrustState
    notes: tuple[Note, ...]
    documents: Mapping[str, bytes]

    def cosigners(self) -> int:
        """How many members and auditors have cosigned all that comes back."""
        lines = {
            line.name
            for note in self.notes
            for line in _lines(self.state, note)
            if note.checkpoint.size >= self.state.size
        }
        return len(lines)


@dataclass(frozen=True, slots=True)
class Recovered:
    """What is back, and what is not."""

    documents: int
    missing: dict[str, int]  # kind -> how many documents that the log names are not here
    nameless: list[str]  # members whose register document is not here
    ahead: dict[str, int]  # members who say that they hold still more
    has_office_key: bool
    has_authority: bool


def find_lost(office: Office, folders: Sequence[LogFolder]) -> Lost:
    """Read and check copies of the log. Unavailable if none holds more than is here, Invalid if the log has signed
    another history than this one, Refused if the rules refuse an entry."""
    log, state = office.log, office.log.state()
    found = [(note, folder) for folder in folders for note in folder.notes(log.key)]
    if not found:
        raise Unavailable(
            N_("no copy holds a checkpoint that this log has signed"),
            why=N_("the folder is of another log, or is none"),
            do=N_("name a folder that client-node export, coordinator export or auditor mirror wrote"),
        )
    newest, source = max(found, key=lambda one: one[0].checkpoint.size)
    tree = Tree(leaf_hash(entry) for entry in _held(log, state.size))
    entries = source.entries(state.size, newest.checkpoint.size) if newest.checkpoint.size > state.size else []
    tree.extend(map(leaf_hash, entries))
    for note, folder in found:
        _check_on_tree(note, folder, tree)
    after = _folded(state, entries)
    documents = {name: data for folder in folders for name, data in folder.documents()}
    return Lost(state.size, tuple(entries), after, tuple(note for note, _ in found), documents)


def recover(office: Office, lost: Lost) -> Recovered:
    """Take back what was lost, in one transaction. Refused if the log has grown since it was looked at."""
    office.log.state()
    with office.database.write() as session:
        if office.log.state().size != lost.start:
            raise Refused(N_("the log has grown meanwhile; stop coordinator serve and try again"))
        _take_entries(session, lost)
        _take_notes(session, lost)
        taken = _take_documents(session, lost)
        _take_names(session, lost)
    return _told(office, taken)


def _held(log: Log, size: int) -> Iterator[bytes]:
    for start in range(0, size, STEP):
        yield from log.entries(start, min(start + STEP, size))


def _check_on_tree(note: Note, folder: LogFolder, tree: Tree) -> None:
    """Every checkpoint that is at hand is one of this log as it will be."""
    size = note.checkpoint.size
    if size <= tree.size and tree.root(size) == note.checkpoint.root:
        return
    if Tree(map(leaf_hash, folder.entries(0, size))).root() == note.checkpoint.root:
        raise Invalid(
            N_("this log went on with other entries after it was restored: it has signed two histories below {size}"),
            why=N_("members who hold the other one will never follow this one, and can prove both signatures"),
            do=N_(
                "restore the database again as it was before, and recover it first; else begin a new log, and "
                "tell the members"
            ),
            code="SELF_EQUIVOCATION",
            size=size,
        )
    raise Invalid(
        N_("the copy in {folder} is not what its checkpoint says"),
        why=N_("its entries do not lead to the signed root"),
        do=N_("use another copy, or have it made again"),
        code="TREE_MISMATCH",
        folder=folder.root,
    )


def _folded(state: TrustState, entries: Iterable[bytes]) -> TrustState:
    for entry in entries:
        state, findings = apply(state, entry, state.size)
        if findings:
            raise Refused(
                findings[0].what,
                why=N_("the rules of the log refuse this statement"),
                code=findings[0].code,
                **findings[0].values,
            )
    return state


def _take_entries(session: Session, lost: Lost) -> None:
    rows = [
        {"index": index, "digest": digest(entry), "entry": entry}
        for index, entry in enumerate(lost.entries, lost.start)
    ]
    if rows:
        session.execute(insert(LogEntry), rows)


def _take_notes(session: Session, lost: Lost) -> None:
    """Checkpoints with the log's own signature alone, and beside them every cosignature that holds."""
    for note in lost.notes:
        size = note.checkpoint.size
        if session.get(PublishedCheckpoint, size) is None:
            own = tuple(one for one in note.signatures if one.name == note.checkpoint.origin)
            plain = Note(note.checkpoint, own)
            session.merge(PublishedCheckpoint(size=size, root=note.checkpoint.root.hex(), note=plain.text()))
        for line in _lines(lost.state, note):
            session.merge(Cosignature(size=size, name=line.name, line=line.line()))


def _lines(state: TrustState, note: Note) -> Iterator[NoteSignature]:
    keys = state.quorum_at(note.checkpoint.size).keys()
    for line in note.signatures:
        try:
            if line.name in keys:
                verify_cosignature(note.checkpoint, line, keys[line.name])
                yield line
        except TrustError:
            continue


def _take_documents(session: Session, lost: Lost) -> int:
    taken = 0
    for name, (kind, author) in _named(lost).items():
        if name in lost.documents and session.get(Document, name) is None:
            session.add(Document(digest=name, kind=kind, author=author, data=lost.documents[name]))
            taken += 1
    return taken


def _named(lost: Lost) -> dict[str, tuple[str, str]]:
    """Digest -> (kind, author) of what the log names: who may read a document follows from both."""
    state = lost.state
    tasks = [task for record in state.agreements.values() for task in record.terms.tasks]
    found = {task.schema_digest: ("schema", "") for task in tasks}
    found |= {task.public_model: ("public-model", "") for task in tasks if task.public_model}
    for name, held in state.documents.items():
        found[name] = (held.kind, held.member or "")
        if held.kind == "list" and name in lost.documents:
            lines = read_list(lost.documents[name], MOST_MEMBERS).lines()
            found |= {line.said.payload: ("contribution", line.said.member) for line in lines}
    return found


def _take_names(session: Session, lost: Lost) -> None:
    """Who stands behind a member that this database does not know: what its register document says."""
    for member in lost.state.members():
        waiting, held = session.get(JoinRequest, member), lost.state.live_key(member, "node")
        named = register_document(lost.state, member)
        if waiting is not None:
            waiting.admitted = True
            session.add(waiting)
        elif held and named and named in lost.documents:
            take_name(session, member, held[1].public, lost.documents[named])


def _told(office: Office, taken: int) -> Recovered:
    state, settings = office.log.state(), office.settings
    named = {name: held.kind for name, held in state.documents.items() if (name, "document") not in state.erased}
    with office.database.read() as session:
        missing: Counter[str] = Counter(kind for name, kind in named.items() if session.get(Document, name) is None)
        nameless = [member for member in state.members() if session.get(Invite, member) is None]
        more = ahead(session, state.size)
    live = state.live_key(None, "office")
    return Recovered(
        documents=taken,
        missing=dict(missing),
        nameless=nameless,
        ahead=more,
        has_office_key=live is not None and live[0] == key_id(settings.office_key.public_key()),
        has_authority=state.authority() == ca_digest(settings.home / "tls"),
    )
