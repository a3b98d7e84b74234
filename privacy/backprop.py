"""Forward and backward passes of dense networks into memory that is kept from batch to batch.

Backpropagation as usual (Rumelhart, Hinton, Williams 1986) over the torch.fx graph of a network. It is written out
because fresh memory for every activation is a fifth of the time of a wide network, and because what is not on its short
list of steps has no gradient a row that is known to be bounded: it is refused by name.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

Curve = Literal["relu", "tanh"]
_CURVES: dict[Any, Curve] = {torch.relu: "relu", functional.relu: "relu", torch.tanh: "tanh"}


@dataclass(slots=True)
class _Step:
    """One node after the inputs: a layer, a curve, or the sum of its sources; its value and the gradient of it. Nobody
    needs the value of the source `over` any more: the step writes into its place."""

    what: nn.Linear | Curve | None
    sources: tuple[int, ...]
    width: int
    over: int = 0
    value: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))
    back: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.float64))


class Passes:
    """Passes of a model of float64 Linear layers, each used once, ReLU, tanh and sums. ValueError for any other."""

    def __init__(self, model: nn.Module):
        held = [(p, m) for m in model.modules() if isinstance(m, nn.Linear) for p in m.parameters()]
        if {id(p) for p, _ in held} != {id(p) for p in model.parameters()} or not held:
            raise ValueError("every parameter must sit in a Linear layer")
        if any(p.dtype != torch.float64 for p, _ in held) or any(m.bias is None for _, m in held):
            raise ValueError("every layer must be in float64 and have a bias")
        if len({id(p) for p, _ in held}) != len(held):
            raise ValueError("two layers share a parameter: the norm of a unit has cross terms")
        self.layers = list({id(m): m for _, m in held}.values())
        self._steps = _steps(model)
        used = [step.what for step in self._steps if isinstance(step.what, nn.Linear)]
        if len(used) != len(self.layers) or len({id(layer) for layer in used}) != len(used):
            raise ValueError("each layer must be used exactly once")
        place = {id(step.what): at for at, step in enumerate(self._steps, 1)}
        self._places = [place[id(layer)] for layer in self.layers]
        self._values, self._backs = list[Tensor](), list[Tensor | None]()

    def forward(self, x: Tensor) -> Tensor:
        """`(batch, inputs)` -> `(batch, outputs)`, good until the next pass."""
        self._values = [x]
        for step in self._steps:
            first, *others = (self._values[source] for source in step.sources)
            out = self._values[step.over] if step.over else step.value.resize_(len(x), step.width)
            match step.what:
                case nn.Linear() as layer:
                    torch.mm(first, layer.weight.t(), out=out).add_(layer.bias)
                case "relu":
                    torch.clamp(first, min=0.0, out=out)
                case "tanh":
                    torch.tanh(first, out=out)
                case None:
                    torch.add(first, *others, out=out)
            self._values.append(out)
        return self._values[-1]

    def backward(self, back: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(the inputs of each layer, the gradients of its pre-activations), from that of the outputs; in the order of
        the parameters. Two layers may be given the same tensor: write into none of them."""
        self._backs = [None] * len(self._steps) + [back]
        for at in range(len(self._steps), 0, -1):
            step, given = self._steps[at - 1], self._backs[at]
            assert given is not None  # every step reaches the outputs
            for source in step.sources:
                if source:  # nothing is passed back to the inputs
                    self._pass(step, given, self._values[at], source)
        inputs = [self._values[self._steps[at - 1].sources[0]] for at in self._places]
        return inputs, [back for at in self._places if (back := self._backs[at]) is not None]

    def _pass(self, step: _Step, given: Tensor, value: Tensor, source: int) -> None:
        """Add what a step gives back to the gradient of its source."""
        known, out = self._backs[source], self._steps[source - 1].back.resize_(self._values[source].shape)
        match step.what:
            case nn.Linear() as layer:
                if known is None:
                    self._backs[source] = torch.mm(given, layer.weight, out=out)
                else:
                    self._backs[source] = torch.addmm(known, given, layer.weight, out=out)
                return
            case "relu":
                own = given if given is step.back else torch.empty_like(given) if known is not None else out
                given = torch.ops.aten.threshold_backward.grad_input(given, value, 0, grad_input=own)
            case "tanh":
                given = given * (1 - value * value)
        self._backs[source] = given if known is None else torch.add(known, given, out=out)


def _steps(model: nn.Module) -> list[_Step]:
    """The graph of a model, as steps over node numbers; 0 is the input."""
    whole, known, steps = nn.Sequential(model), dict[fx.Node, int](), list[_Step]()
    modules = dict(whole.named_modules())
    for node in fx.Tracer().trace(whole).nodes:
        if node.op == "placeholder":
            known[node] = 0
            continue
        if not node.users and node.op != "output":
            raise ValueError(f"{node.name} does not reach the outputs")
        if node.op == "output":
            if known.get(node.args[0]) != len(steps):
                raise ValueError("the model must give one tensor, and its last step")
            continue
        what = _what(node, modules)
        sources = tuple(known.get(source, -1) for source in node.args)
        if -1 in sources or node.kwargs or len(sources) != (2 if what is None else 1):
            raise ValueError(f"{node.name} takes more than what was computed before it")
        width = what.out_features if isinstance(what, nn.Linear) else _width(steps, sources)
        spent = [k for k, given in zip(sources, node.args, strict=True) if _is_spent(steps, k, given)]
        over = 0 if isinstance(what, nn.Linear) or not spent else spent[0]
        steps.append(_Step(what, sources, width, over))
        known[node] = len(steps)
    return steps


def _is_spent(steps: list[_Step], source: int, node: fx.Node) -> bool:
    """Has a value no user but one, and is not what a curve needs for its own way back?"""
    return source > 0 and len(node.users) == 1 and not isinstance(steps[source - 1].what, str)


def _width(steps: list[_Step], sources: tuple[int, ...]) -> int:
    widths = {steps[source - 1].width for source in sources if source}
    if len(widths) != 1:
        raise ValueError("a curve or a sum is of layers of one width")
    return widths.pop()


def _what(node: fx.Node, modules: dict[str, nn.Module]) -> nn.Linear | Curve | None:
    target: Any = modules[str(node.target)] if node.op == "call_module" else node.target
    if isinstance(target, nn.Linear):
        return target
    if isinstance(target, nn.ReLU | nn.Tanh):
        return "relu" if isinstance(target, nn.ReLU) else "tanh"
    if node.op == "call_function" and target in _CURVES:
        return _CURVES[target]
    if node.op == "call_function" and target in (operator.add, torch.add):
        return None
    name = type(target).__name__ if isinstance(target, nn.Module) else getattr(target, "__name__", target)
    raise ValueError(f"{name} is none of Linear, ReLU, tanh and sums: no bound a unit is known for it here")
