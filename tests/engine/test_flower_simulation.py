"""Flower's own simulation engine (Ray) runs the product's app factory and Strategy, secure sum and all."""

import os
import time
from array import array
from types import SimpleNamespace

import pytest
from flwr.app import RecordDict
from flwr.serverapp import ServerApp

from contracts.statements.sums import read_unmasking
from coordinator.learning.secure_sums import RoundOpened
from coordinator.learning.strategy import TrustStrategy
from fleet import fleet_app, write, write_log
from privacy.step import start_state
from simulator import Trust, plan

N, ROUNDS = 5, 2


class Memory:
    """A journal of two rounds over a trust in memory."""

    def __init__(self, folder, secure_sum):
        self.folder, self.secure_sum = folder, secure_sum
        self.trust = Trust(N, secure_sum=secure_sum)
        for firm in self.trust.firms:
            self.trust.consent(firm)
        self.trust.order(deadline_s=60)
        self.members = tuple(sorted(firm.member for firm in self.trust.firms))
        self.values = {m: array("q", [2**20 + place, -(2**20), place, 1]) for place, m in enumerate(self.members)}
        self.model, self.sums, self.nodes = array("d", [0.0] * 4), [], ()
        self.step = start_state(plan(), self.model)
        write(folder, self.trust, self.values)

    def ask_names(self, grid):
        """Who stands behind which of Flower's node ids."""
        while len(list(grid.get_node_ids())) < N:
            time.sleep(0.2)
        asked = [grid.create_message(RecordDict(), "query.name", node, "0") for node in grid.get_node_ids()]
        firms = self.trust.firms
        told = {
            firms[reply.content["config"]["place"]].member: reply.metadata.src_node_id
            for reply in grid.send_and_receive(asked)
        }
        self.nodes = tuple(told[member] for member in self.members)

    def open_round(self):
        if len(self.sums) == ROUNDS:
            return None
        self.trust.open()
        write_log(self.folder, self.trust)
        record = self.trust.run.open_round()
        return RoundOpened(record.opened.round, record.open_index, self.members, self.nodes)

    def accepted(self, opened, replies):
        return sorted(replies, key=lambda reply: reply.member), len(self.trust.entries)

    def malformed(self, opened, step, member):
        raise AssertionError((step, member))

    def node_keys(self, opened):
        return {member: self.trust.state.live_key(member, "node")[1].public for member in self.members}

    def close_round(self, opened, summed, model, state):
        assert summed is not None and summed.total == array("q", map(sum, zip(*self.values.values(), strict=True)))
        assert (summed.unmasking is not None) == (self.secure_sum == "required")
        if summed.unmasking:
            assert set(read_unmasking(summed.unmasking).seeds) == set(self.members)
            sent = {reply.member: reply.values for reply in summed.used}
            assert all(sent[member] != self.values[member] for member in self.members), "each under its masks"
        assert self.trust.close() == ()
        self.sums.append(summed.total)
        self.model, self.step = model, state

    def state(self):
        return self.model, self.step


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("secure_sum", ["none", "required"])
def test_the_same_app_and_strategy_run_in_flowers_own_simulation(tmp_path, secure_sum):
    from flwr.simulation import run_simulation

    journal, server, ended = Memory(tmp_path, secure_sum), ServerApp(), SimpleNamespace(well=False)

    @server.main()
    def main(grid, context):
        journal.ask_names(grid)
        run = journal.trust.run
        TrustStrategy(run.run, run.order, secure_sum=secure_sum == "required", journal=journal).start(grid)
        ended.well = True

    # one worker process: a member's secrets live in the memory of the process that made them
    one = {"client_resources": {"num_cpus": float(os.cpu_count() or 1), "num_gpus": 0.0}}
    run_simulation(server, fleet_app(tmp_path), N, backend_config=one)
    assert ended.well and len(journal.sums) == ROUNDS and journal.model[0] < 0 < journal.model[1]
