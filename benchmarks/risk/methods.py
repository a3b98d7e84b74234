"""Methods of the risk benchmark: a member alone, all rows in one place, plain FedAvg, the
product's rounds, and the vote.

Each gives one `(test rows,)` of chances a member. What is chosen is chosen on validation; home and pooled models are
then fitted again on train and validation, shared ones are not (a second run would be charged again).
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch.func import functional_call, grad, vmap
from torch.nn import functional

from benchmarks.risk.protocol import Chances, Member, Table, join
from benchmarks.rounds import local_rounds
from benchmarks.rounds.local_rounds import KEY, Side, play
from engine.binary.models import BinaryModel, Forest, LabelledRows, lightgbm, probability
from engine.binary.own import OWN, fit_own, out_of_fold
from engine.binary.scorer import logit
from engine.binary.weights import PUBLIC, SHARED, OwnSide, choose, decide
from engine.risk import public
from engine.risk.task import TASK
from engine.task import Model, plan_for
from privacy.accounting import rho_cap
from privacy.mechanisms import LatticeGaussian
from privacy.plan import Boost, ReleasePlan, Trees
from privacy.step import advance, start_state

DELTA = "1e-6"
_NO_NOISE_NANO = 10**13  # the budget at which the task's design takes its largest forest


@dataclass(frozen=True, slots=True)
class Home:
    """A member's own models: chances of validation and of test rows by name, simplest first, those of test rows by
    the model that serves, fitted on both parts, and which of them has the vote."""

    held: dict[str, np.ndarray]
    test: dict[str, np.ndarray]
    refitted: dict[str, np.ndarray]
    side: OwnSide

    def best(self, y: np.ndarray) -> str:
        """Least Brier on validation."""
        return min(self.held, key=lambda name: float(((self.held[name] - y) ** 2).sum()))


def at_home(member: Member) -> Home:
    """The product's own models: base rate, logistic, boosted trees where rows suffice."""
    fitted = {name: fit_own(name, member.train) for name in OWN}
    models: dict[str, BinaryModel] = {name: model for name, model in fitted.items() if model}
    again = {name: fit_own(name, member.learn) or model for name, model in models.items()}
    apart = {name: logit(p) for name, p in out_of_fold(member.learn).items() if name in models}
    return Home(
        {name: probability(model, member.validation) for name, model in models.items()},
        {name: probability(model, member.test) for name, model in models.items()},
        {name: probability(model, member.test) for name, model in again.items()},
        choose(apart, member.learn.y),
    )


def own_best(table: Table, homes: list[Home]) -> Chances:
    """What each member would use without anybody."""
    return [h.refitted[h.best(m.validation.y)] for m, h in zip(table.members, homes, strict=True)]


def single(homes: list[Home], name: str) -> Chances:
    """One kind of own model; where a member's rows are too few for it, the next simpler one."""
    simpler = OWN[: OWN.index(name) + 1]
    return [next(h.refitted[n] for n in reversed(simpler) if n in h.refitted) for h in homes]


def served(table: Table, homes: list[Home], others: dict[str, tuple[Chances, Chances]]) -> tuple[Chances, int]:
    """(what a node would serve, members that kept the last vote): `engine.risk.task.vote` on the set's own split.
    `others` are the public and the shared vote where there are such, each (validation, test)."""
    made, kept = [], 0
    for at, (member, home) in enumerate(zip(table.members, homes, strict=True)):
        held = home.held | {name: both[0][at] for name, both in others.items()}
        ballot = decide({name: logit(p) for name, p in held.items()}, member.validation.y, home.side)
        test = home.refitted | {name: both[1][at] for name, both in others.items()}
        made.append(ballot.combine({name: logit(test[name]) for name in ballot.weights}))
        kept += (SHARED if SHARED in others else PUBLIC) in ballot.weights
    return made, kept


def shared_chances(table: Table, model: BinaryModel) -> tuple[Chances, Chances]:
    """(validation, test) by one shared model."""
    return tuple([probability(model, part) for part in parts] for parts in _parts(table))  # type: ignore[return-value]


def _parts(table: Table) -> tuple[list[LabelledRows], list[LabelledRows]]:
    return [m.validation for m in table.members], [m.test for m in table.members]


def plan_of(table: Table, epsilon: str | None, family: str = "trees") -> ReleasePlan:
    """The product's own plan for this budget; None is a budget at which noise would not matter."""
    rho_nano = rho_cap(epsilon, DELTA) if epsilon else _NO_NOISE_NANO
    return plan_for(
        TASK, table.schema, family=family, releases=0, rho_nano=rho_nano, delta=DELTA, members=len(table.members)
    )


def federated(table: Table, plan: ReleasePlan, *, noisy: bool = True, once: bool = False) -> Model:
    """The released model of the product's rounds over LocalGrid."""
    rows, start = [m.train for m in table.members], TASK.start(table.schema, plan.shape.family)
    return local_rounds.federated(TASK, plan, rows, start, noisy=noisy, once=once)


def continued(table: Table, plan: ReleasePlan, forest: array[float]) -> Model:
    """The same after rounds that were made of public rows: those cost nothing, so noise is that of `plan`."""
    assert isinstance(plan.shape, Trees)
    spent = (len(forest) - 1) // plan.shape.leaves()
    whole, noise = replace(plan, releases=spent + plan.releases), LatticeGaussian(plan)
    sides = [Side(TASK, whole, m.train, noise) for m in table.members]
    made = play(whole, sides, forest, _continued(whole, forest), first=spent + 1)
    assert made is not None
    return Model(plan.shape, made)


def _continued(plan: ReleasePlan, model: array[float]) -> array[float]:
    """The state of a forest of which some rounds are there already."""
    assert isinstance(plan.shape, Trees)
    return model + array("d", bytes(8 * (1 + plan.releases * plan.shape.leaves() - len(model))))


def public_forest(table: Table, plan: ReleasePlan, rounds: int) -> array[float]:
    """Start and leaves of `rounds` rounds on the rows of the public pool: no member, no noise."""
    assert table.public is not None
    rate = plan.step.rate if isinstance(plan.step, Boost) else "1.2"
    alone = replace(plan, releases=rounds, step=Boost("boost", rate, "1"))
    model = TASK.start(table.schema, "trees")
    state = start_state(alone, model)
    for number in range(1, rounds + 1):
        total = TASK.contribute(alone, model, table.public, round=number, key=KEY)
        model, state = advance(alone, state, array("q", total.tobytes()), number)
    return model


def public_model(table: Table) -> Forest:
    """The product's public model of the pool's rows: costs nobody anything."""
    assert table.public is not None
    return public.forest(public.read(public.fit(table.public, table.schema, "pool"), table.schema), table.schema)


def public_trees(table: Table) -> Forest:
    """LightGBM on the rows of the public pool, with what each split gained."""
    assert table.public is not None
    library = lightgbm()
    how = {"objective": "binary", "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 20, "lambda_l2": 5.0}
    how |= {"bagging_fraction": 0.8, "bagging_freq": 1, "feature_fraction": 0.6, "num_threads": 1, "seed": 0}
    how |= {"verbosity": -1, "deterministic": True, "force_row_wise": True}
    return Forest(library.train(how, library.Dataset(table.public.columns, table.public.y), 200).model_to_string())


def narrowed(table: Table, model: Forest, columns: int) -> Table:
    """The same members with the `columns` that gave the public pool's trees most: fewer
    questions, less noise in each."""
    gain = lightgbm().Booster(model_str=model.text).feature_importance("gain")
    chosen = np.argsort(-gain, kind="stable")[:columns].tolist()

    def few(rows: LabelledRows) -> LabelledRows:
        return replace(rows, columns=rows.columns[:, chosen], cuts=[rows.cuts[i] for i in chosen])

    members = [replace(m, train=few(m.train), validation=few(m.validation), test=few(m.test)) for m in table.members]
    return Table(table.schema, members, few(table.public) if table.public else None)


def central_logistic(table: Table) -> Chances:
    """A logistic on the rows of all members."""
    model = fit_own("logistic", join([m.learn for m in table.members]))
    assert model
    return [probability(model, m.test) for m in table.members]


def central_trees(table: Table, *, member_code: bool) -> Chances:
    """LightGBM with the settings of the READMEs on the rows of all members; the round is chosen on validation."""
    library = lightgbm()

    def inputs(part: str) -> np.ndarray:
        codes = [np.full(len(getattr(m, part).y), k) for k, m in enumerate(table.members)]
        x = np.concatenate([getattr(m, part).columns for m in table.members])
        return np.column_stack([x, np.concatenate(codes)]) if member_code else x

    def label(part: str) -> np.ndarray:
        return np.concatenate([getattr(m, part).y for m in table.members])

    coded = [len(table.schema.of_kind("number"))] if member_code else []
    how = {"objective": "binary", "learning_rate": 0.03, "num_leaves": 31, "min_data_in_leaf": 40, "lambda_l2": 5.0}
    how |= {"bagging_fraction": 0.8, "bagging_freq": 1, "feature_fraction": 0.6, "num_threads": 1, "seed": 0}
    how |= {"verbosity": -1, "deterministic": True, "force_row_wise": True}
    train = library.Dataset(inputs("train"), label("train"), categorical_feature=coded)
    held = library.Dataset(inputs("validation"), label("validation"), reference=train)
    stop = [library.early_stopping(30, verbose=False)]
    rounds = library.train(how, train, 600, valid_sets=[held], callbacks=stop).best_iteration
    whole = library.Dataset(inputs("learn"), label("learn"), categorical_feature=coded)
    made = library.train(how, whole, rounds).predict(inputs("test"))
    return np.split(made, np.cumsum([len(m.test.y) for m in table.members])[:-1])


class Net(torch.nn.Module):
    """32 wide, one residual block, dropout .2: the network of the READMEs."""

    def __init__(self, inputs: int):
        super().__init__()
        self.first, self.block, self.last = (torch.nn.Linear(*size) for size in ((inputs, 32), (32, 32), (32, 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`(rows, inputs)` -> log-odds `(rows,)`."""
        h = torch.relu(self.first(x))
        h = h + functional.dropout(torch.relu(self.block(h)), 0.2, self.training)
        return self.last(functional.dropout(h, 0.2, self.training))[..., 0]


class _Scaled:
    """Inputs by mean and sd of all training rows, held within 5: no trust could compute that, the references may."""

    def __init__(self, table: Table):
        x = np.concatenate([m.train.x for m in table.members])
        self._mean, self._sd = x.mean(0), x.std(0) + 1e-6

    def __call__(self, rows: LabelledRows) -> torch.Tensor:
        return torch.from_numpy(np.clip((rows.x - self._mean) / self._sd, -5, 5)).float()


def central_network(table: Table, seed: int) -> Chances:
    """All rows in one place: AdamW, batches of 256; the step is chosen on validation, then 1.25 times as many."""
    scaled = _Scaled(table)
    parts = {}
    for name in ("train", "validation", "learn"):
        rows = join([getattr(m, name) for m in table.members])
        parts[name] = scaled(rows), torch.from_numpy(rows.y).float()
    steps = _fit(parts["train"], seed, 3000, parts["validation"])[1]
    net = _fit(parts["learn"], seed, int(1.25 * steps), None)[0]
    return [_chance(net, scaled(m.test)) for m in table.members]


Part = tuple[torch.Tensor, torch.Tensor]


def _fit(rows: Part, seed: int, steps: int, held: Part | None) -> tuple[Net, int]:
    """(network, best number of steps by held-out loss, looked at every 50)."""
    torch.manual_seed(seed)
    net = Net(rows[0].shape[1])
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=1e-2)
    best = (np.inf, steps)
    for step in range(1, steps + 1):
        at = torch.randint(len(rows[1]), (256,))
        optimiser.zero_grad()
        functional.binary_cross_entropy_with_logits(net(rows[0][at]), rows[1][at]).backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        if held and step % 50 == 0:
            best = min(best, (_loss(net, held), step))
            if step - best[1] >= 600:
                break
    return net, best[1]


def _loss(net: Net, held: Part) -> float:
    net.eval()
    with torch.no_grad():
        loss = float(functional.binary_cross_entropy_with_logits(net(held[0]), held[1]))
    net.train()
    return loss


def _chance(net: Net, x: torch.Tensor) -> np.ndarray:
    net.eval()
    with torch.no_grad():
        chance: np.ndarray = torch.sigmoid(net(x)).double().numpy()
    return chance


def fedavg(table: Table, seed: int) -> tuple[Chances, Chances]:
    """(validation, test) by plain weighted averaging without privacy: 10 SGD steps of 32 rows a round, momentum .9,
    rate .05 falling to a fifth by cosine, weights = rows, at most 150 rounds, stop after 30 by held-out loss."""
    scaled, held = _Scaled(table), join([m.validation for m in table.members])
    net, _ = _rounds(table, "train", seed, scaled, (scaled(held), torch.from_numpy(held.y).float()))
    validation, test = _parts(table)
    return [_chance(net, scaled(p)) for p in validation], [_chance(net, scaled(p)) for p in test]


def fedavg_again(table: Table, seed: int) -> Chances:
    """As the READMEs have it: so many rounds as were best on validation, on train and validation together."""
    scaled, held = _Scaled(table), join([m.validation for m in table.members])
    _, best = _rounds(table, "train", seed, scaled, (scaled(held), torch.from_numpy(held.y).float()))
    net, _ = _rounds(table, "learn", seed, scaled, None, best + 1)
    return [_chance(net, scaled(m.test)) for m in table.members]


def _rounds(
    table: Table, part: str, seed: int, scaled: _Scaled, watched: Part | None, most: int = 150
) -> tuple[Net, int]:
    """(network, best round): with `watched` rows the best by their loss, else the last of `most`."""
    members = [getattr(m, part) for m in table.members if len(m.train.y) >= 10]
    rows = [(scaled(own), torch.from_numpy(own.y).float()) for own in members]
    torch.manual_seed(seed)
    net, best, kept = Net(rows[0][0].shape[1]), (np.inf, most - 1), {}
    for number in range(most):
        net.load_state_dict(_averaged(net, rows, 0.05 * (0.2 + 0.4 * (1 + np.cos(np.pi * number / 150)))))
        if watched and (loss := _loss(net, watched)) < best[0]:
            best, kept = (loss, number), {name: value.clone() for name, value in net.state_dict().items()}
        if watched and number - best[1] >= 30:
            break
    net.load_state_dict(kept or net.state_dict())
    return net, best[1]


def _averaged(net: Net, rows: list[Part], rate: float) -> dict[str, torch.Tensor]:
    """One round: every member takes its ten steps, all at once."""
    here = {name: value.detach().expand(len(rows), *value.shape).clone() for name, value in net.named_parameters()}
    speed = {name: torch.zeros_like(value) for name, value in here.items()}

    def loss(weights: dict[str, torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return functional.binary_cross_entropy_with_logits(functional_call(net, weights, (x,)), y)

    slope = vmap(grad(loss), randomness="different")
    for _ in range(10):
        at = [torch.randint(len(y), (32,)) for _, y in rows]
        x = torch.stack([own[0][i] for own, i in zip(rows, at, strict=True)])
        y = torch.stack([own[1][i] for own, i in zip(rows, at, strict=True)])
        for name, value in slope(here, x, y).items():
            speed[name] = 0.9 * speed[name] + value
            here[name] = here[name] - rate * speed[name]
    share = torch.tensor([float(len(y)) for _, y in rows])
    share = share / share.sum()
    return {name: torch.tensordot(share, value, 1) for name, value in here.items()}
