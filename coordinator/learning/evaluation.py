"""After the last round: the model is judged on holdout units, and released only if its gate says so."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np

from contracts.envelope import seal
from contracts.fields import new_id, time_text
from contracts.rules.gates import compared_models
from contracts.rules.releases import participants
from contracts.rules.state import RunRecord, TrustState
from contracts.statements.artefact import read_artefact
from contracts.statements.closed_list import payload
from contracts.statements.gate import judge, verdict_of
from contracts.statements.statements import Compared, Evaluates, Gate, Predicate, Release, Rollback, RunOrder
from coordinator.settings import Settings
from coordinator.store import documents
from coordinator.store.database import Database
from coordinator.store.log import Log
from engine.evaluation import plan_for
from engine.table import read_schema
from engine.task import load
from privacy import statistics
from privacy.plan import Histogram


class Evaluation:
    """Carries runs from their last round to their release; everything it knows is in the log and in documents."""

    def __init__(self, database: Database, log: Log, settings: Settings):
        self._database, self._log, self._settings = database, log, settings

    def conclude(self, name: str) -> bool:
        """Do what follows the end of a run, once, also after a crash; True if a model was released by it.

        A run that trained is judged by an evaluation that is ordered here; an evaluation ends in a gate, and the
        gate in a release or in none.
        """
        run = self._log.state().runs[name]
        if run.order.evaluates:
            judged = self._log.state().runs[run.order.evaluates.run]
            if judged.gate is None and self._is_over(run):
                self._append(lambda state: self._gate(state, state.runs[judged.run], run))
            return self._release(judged.run)
        if run.is_complete() and run.order.gate and run.evaluation is None and self._stands(run):
            self._append(lambda state: self._order(state, state.runs[name]))
        return self._release(name)

    def _stands(self, run: RunRecord) -> bool:
        return participants(run) >= run.order.min_members

    def _is_over(self, evaluation: RunRecord) -> bool:
        return evaluation.is_complete() or time_text(datetime.now(UTC)) >= evaluation.order.expires_at

    def _append(self, make: Callable[[TrustState], Predicate]) -> None:
        self._log.append_made(lambda state: seal(payload(make(state)), [self._settings.office_key]))
        self._log.publish()

    def _order(self, state: TrustState, run: RunRecord) -> Predicate:
        """The evaluation of a complete run: one joint histogram of the model, its start and the model that serves."""
        trained, incumbent, now = run.order, state.released_runs.get(run.order.task), datetime.now(UTC)
        assert trained.gate is not None
        schema = read_schema(self._document(trained.schema_digest))
        others = 2 if incumbent else 1
        terms = state.agreements[trained.agreement].terms
        return RunOrder(
            record_id=new_id(),
            issued_at=time_text(now),
            agreement=trained.agreement,
            task=trained.task,
            dataset=trained.dataset,
            schema_digest=trained.schema_digest,
            bundle=trained.bundle,
            model_start=run.model,
            plan=plan_for(
                load(trained.task), schema, others=others, rho_nano=trained.gate.rho_nano, delta=trained.plan.delta
            ),
            min_members=trained.min_members,
            window_s=trained.window_s,
            deadline_s=trained.deadline_s,
            expires_at=min(time_text(now + timedelta(seconds=trained.window_s)), terms.valid_to),
            evaluates=Evaluates(run=run.run, incumbent=incumbent),
        )

    def _gate(self, state: TrustState, run: RunRecord, evaluation: RunRecord) -> Predicate:
        """The verdict from the sum of the evaluation, and the decision that the run's order drew from it beforehand."""
        terms, compared = run.order.gate, self._compared(state, evaluation)
        assert terms is not None
        verdict = verdict_of(compared)
        return Gate(
            record_id=new_id(),
            issued_at=time_text(datetime.now(UTC)),
            order=run.run,
            evaluation=evaluation.run,
            model=run.model,
            compared=compared,
            verdict=verdict,
            decision=terms.untold if verdict == "too-few" else "release" if verdict == "not-worse" else "keep",
        )

    def _compared(self, state: TrustState, evaluation: RunRecord) -> tuple[Compared, ...]:
        recorded = [r.closed for r in evaluation.rounds if r.closed and r.closed.outcome == "recorded"]
        if not recorded:
            return ()
        total = read_artefact(self._document(str(recorded[-1].aggregate)), "aggregate", "q").values
        others = compared_models(state, evaluation.order)
        return judge(evaluation.order.plan, total, len(recorded[-1].contributors), others)

    def _release(self, name: str) -> bool:
        """Release the model of a run if enough members stand behind it and its gate, where it has one, says so."""
        run = self._log.state().runs[name]
        passed = run.order.gate is None or (run.gate is not None and run.gate.decision == "release")
        if not (run.is_complete() and self._stands(run) and passed and run.release is None):
            return False
        self._append(
            lambda state: Release(
                record_id=new_id(),
                issued_at=time_text(datetime.now(UTC)),
                order=name,
                task=run.order.task,
                model=run.model,
                rounds=len(run.rounds),
                participants=participants(run),
                min_members=run.order.min_members,
                beneficiaries=state.agreements[run.order.agreement].terms.beneficiaries,
            )
        )
        return True

    def figures(self, evaluation: RunRecord) -> dict[str, float] | None:
        """What the released histogram says of the model: post-processing, free of privacy. None if nothing was summed
        or the noise hides it. `_error` is one standard error of the noise alone."""
        recorded = [r.closed for r in evaluation.rounds if r.closed and r.closed.outcome == "recorded"]
        shape = evaluation.order.plan.shape
        if not recorded or not isinstance(shape, Histogram) or shape.classes != 2:
            return None
        total = read_artefact(self._document(str(recorded[-1].aggregate)), "aggregate", "q").values
        scale = float(1 << evaluation.order.plan.grid_bits)
        counts = np.array(total[: 2 * shape.bins]).reshape(2, shape.bins) / scale
        sigma = evaluation.order.plan.sigma_steps / scale * len(recorded[-1].contributors) ** 0.5
        ranked, loss = statistics.auc(counts, sigma), statistics.brier(counts, sigma)
        if ranked is None or loss is None:
            return None
        return {
            "auc": round(ranked.value, 4),
            "auc_error": round(ranked.error, 4),
            "brier": round(loss.value, 5),
            "brier_error": round(loss.error, 5),
            "calibration_error": round(statistics.calibration_error(counts, sigma), 4),
        }

    def _document(self, name: str) -> bytes:
        held = documents.read(self._database, name)
        if held is None:
            raise RuntimeError(f"document {name} is missing from the database")
        return held.data

    def roll_back(self, task: str, reason: str) -> str | None:
        """Let the model that served before serve again; its run, or None if there was none. KeyError if none serves."""
        state = self._log.state()
        serving = state.runs[state.released_runs[task]]
        earlier = [r for r in state.runs_in_order() if r.order.task == task and r.release and r.index < serving.index]
        back = earlier[-1].run if earlier else None
        self._append(
            lambda _state: Rollback(
                record_id=new_id(),
                issued_at=time_text(datetime.now(UTC)),
                task=task,
                gone=serving.run,
                order=back,
                reason=reason,  # type: ignore[arg-type]
            )
        )
        return back
