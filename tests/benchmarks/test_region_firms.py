"""Early warning is measured on sums that are those of the product, added up at once."""

import numpy as np

from benchmarks.risk.region_firms import SCHEMA, TASK, after, damaged, world
from benchmarks.rounds.local_rounds import federated
from engine.task import plan_for


def test_members_added_up_at_once_give_the_model_that_rounds_member_by_member_give():
    here, start = world(12, 0), damaged(TASK.start(SCHEMA, "gradients"), 0)
    plan = plan_for(TASK, SCHEMA, family="gradients", releases=0, rho_nano=10**13, delta="1e-6", members=12)
    product, here_at_once = federated(TASK, plan, here.members, start, noisy=False), after(here, start, None)
    assert np.allclose(product.values, here_at_once.values, atol=1e-4)
    assert not np.allclose(after(here, start, "1").values, here_at_once.values, atol=1e-3), "noise is there"
