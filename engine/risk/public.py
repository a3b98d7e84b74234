"""A public model: boosted trees of rows that belong to no member, as data that anybody can read.

It costs no budget, since nobody's rows are in it; the agreement names its digest, and each node keeps its
vote only while its own held-out rows do not speak against it. The document holds numbers alone. What LightGBM
reads is written here from them.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import ValidationError, model_validator

from contracts.envelope import canonical
from contracts.errors import Malformed
from contracts.fields import Count, Digest, Index, Name, Strict
from contracts.wording import N_
from engine.binary.models import Forest, LabelledRows, lightgbm
from engine.binary.own import BOOSTING
from engine.table import TableSchema

LARGEST = 5_000_000  # bytes
_LEAST = 50  # rows of each class
_MISSING = 8  # LightGBM: NaN is the missing value; plus 2 where it goes left
_ROUNDS = 120
# one member's trees, a little faster and more: chosen on validation rows of a public set;
# reasons take time with their size
_BOOSTING = BOOSTING | {"learning_rate": 0.12}


class PublicTree(Strict):
    """Inner nodes in order, the first is the root: a row goes left where `column` (of those of
    `engine.scaling.columns`) is at most `cut`, or missing and `missing_left`. A child of -1 - k is leaf k; `rows`
    counts public rows, nodes then leaves."""

    column: tuple[Index, ...]
    cut: tuple[float, ...]
    missing_left: tuple[bool, ...]
    left: tuple[int, ...]
    right: tuple[int, ...]
    leaf: tuple[float, ...]
    rows: tuple[Index, ...]

    @model_validator(mode="after")
    def _is_a_tree(self) -> PublicTree:
        """Every node and leaf but the root is the child of one node that stands before it."""
        inner = len(self.column)
        if any(len(part) != inner for part in (self.cut, self.missing_left, self.left, self.right)):
            raise ValueError("a tree has as many cuts, directions and children as questions")
        if len(self.leaf) != inner + 1 or len(self.rows) != 2 * inner + 1:
            raise ValueError("a tree has one leaf more than questions")
        children = sorted((*self.left, *self.right))
        if children != [*range(-inner - 1, 0), *range(1, inner)][: 2 * inner] or any(
            0 <= child <= node for side in (self.left, self.right) for node, child in enumerate(side)
        ):
            raise ValueError("a tree reaches each of its nodes and leaves once, downwards")
        if not np.isfinite((*self.cut, *self.leaf)).all():
            raise ValueError("a cut or a leaf is not a finite number")
        return self


class PublicModel(Strict):
    """The document. `source` says whose rows these are; `rows` and `positives` count them; the
    sum of leaves is log-odds."""

    format: Literal["mengbang-public-model/1"]
    task: Literal["risk"]
    table: Digest
    source: Name
    rows: Count
    positives: Count
    trees: tuple[PublicTree, ...]

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical(self.model_dump(mode="json"))


def fit(rows: LabelledRows, schema: TableSchema, source: str) -> bytes:
    """The document of a model of these rows; Malformed where they are too few of a class."""
    positives = int(rows.y.sum())
    if min(positives, len(rows.y) - positives) < _LEAST:
        raise Malformed(
            N_("these rows are too few for a public model"),
            why=N_("{least} of each class are needed: {positives} of {rows} are positive"),
            do=N_("give more public rows"),
            least=_LEAST,
            positives=positives,
            rows=len(rows.y),
        )
    library = lightgbm()
    booster = library.train(_BOOSTING, library.Dataset(rows.columns, rows.y), _ROUNDS)
    trees = [_tree(told["tree_structure"]) for told in booster.dump_model()["tree_info"]]
    return PublicModel(
        format="mengbang-public-model/1",
        task="risk",
        table=schema.digest(),
        source=source,
        rows=len(rows.y),
        positives=positives,
        trees=tuple(tree for tree in trees if tree.column),
    ).to_bytes()


def read(data: bytes, schema: TableSchema) -> PublicModel:
    """The model of these bytes, for this very table; Malformed otherwise."""
    try:
        if len(data) > LARGEST:
            raise ValueError(f"{len(data)} bytes, more than {LARGEST}")
        model = PublicModel.model_validate_json(data)
        width = len(schema.of_kind("number"))
        if model.table != schema.digest():
            raise ValueError("it is for another table")
        if any(column >= width for tree in model.trees for column in tree.column) or not model.trees:
            raise ValueError(f"its trees do not ask about the table's {width} columns")
    except ValidationError as error:
        raise _unreadable(error.errors(include_input=False)[0]["msg"]) from error
    except ValueError as error:
        raise _unreadable(str(error)) from error
    return model


def _unreadable(problem: str) -> Malformed:
    return Malformed(
        N_("this is no public model of the table: {problem}"),
        why=N_("a node reads nothing but the trees that the agreement names, for the table that it names"),
        do=N_("coordinator agreement public-model makes one"),
        problem=problem,
    )


def forest(model: PublicModel, schema: TableSchema) -> Forest:
    """The same as LightGBM writes it down: scores and exact contributions come from there."""
    width = len(schema.of_kind("number"))
    head = [
        "tree",
        "version=v4",
        "num_class=1",
        "num_tree_per_iteration=1",
        "label_index=0",
        f"max_feature_idx={width - 1}",
        "objective=binary sigmoid:1",
        f"feature_names={' '.join(f'Column_{i}' for i in range(width))}",
        f"feature_infos={' '.join(['[-1:1]'] * width)}",
        "",
    ]
    return Forest("\n".join([*head, *(_text(k, tree) for k, tree in enumerate(model.trees)), "end of trees", ""]))


def _text(number: int, tree: PublicTree) -> str:
    inner = len(tree.column)
    lines = {
        "num_leaves": (inner + 1,),
        "num_cat": (0,),
        "split_feature": tree.column,
        "split_gain": (0,) * inner,
        "threshold": tree.cut,
        "decision_type": tuple(_MISSING + 2 * left for left in tree.missing_left),
        "left_child": tree.left,
        "right_child": tree.right,
        "leaf_value": tree.leaf,
        "leaf_weight": (0,) * (inner + 1),
        "leaf_count": tree.rows[inner:],
        "internal_value": (0,) * inner,
        "internal_weight": (0,) * inner,
        "internal_count": tree.rows[:inner],
        "is_linear": (0,),
        "shrinkage": (1,),
    }
    told = (f"{name}={' '.join(map(repr, values))}" for name, values in lines.items())
    return "\n".join([f"Tree={number}", *told, "", ""])


def _tree(root: dict[str, object]) -> PublicTree:
    """LightGBM's nested description as arrays, a parent before its children."""
    inner, leaves, column, cut, missing_left = list[dict](), list[dict](), [], [], []  # type: ignore[type-arg]
    sides: dict[str, list[int]] = {"left_child": [], "right_child": []}
    waiting: list[tuple[dict, str | None, int]] = [(root, None, 0)]  # type: ignore[type-arg]
    while waiting:
        node, side, parent = waiting.pop()
        is_inner = "split_feature" in node
        place = len(inner) if is_inner else -1 - len(leaves)
        if side is not None:
            sides[side][parent] = place
        if not is_inner:
            leaves.append(node)
            continue
        inner.append(node)
        column.append(int(node["split_feature"]))
        cut.append(float(node["threshold"]))
        asked = node["missing_type"] == "NaN"  # where no row lacked the value, LightGBM takes it for 0
        missing_left.append(bool(node["default_left"]) if asked else cut[-1] >= 0)
        for name, values in sides.items():
            values.append(0)
            waiting.append((node[name], name, place))
    return PublicTree(
        column=tuple(column),
        cut=tuple(cut),
        missing_left=tuple(missing_left),
        left=tuple(sides["left_child"]),
        right=tuple(sides["right_child"]),
        leaf=tuple(float(leaf["leaf_value"]) for leaf in leaves),
        rows=(*(int(n["internal_count"]) for n in inner), *(int(leaf.get("leaf_count", 0)) for leaf in leaves)),
    )
