"""Columns that are no fields of a task, but say which rows count: currency, whether a document is
void, what data.toml chooses."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from client_node.data.reading import is_called, is_yuan
from client_node.data.validation import RowRule

_CURRENCY: tuple[str, ...] = ("币种", "币别", "货币", "交易币种", "交易货币", "结算币种", "结算货币", "原币币种")
_CURRENCY += ("币种名称", "币种代码", "货币代码", "货币种类", "币种编码")
_CURRENCY += ("currency", "currency code", "currency_code", "curr", "ccy", "cur")
_STATUS = ("状态", "发票状态", "单据状态", "开票状态", "票据状态", "记录状态", "status", "invoice status", "state")
_IS_VOID = ("作废", "是否作废", "作废标志", "作废标识", "已作废", "void", "voided", "is_void", "cancelled", "canceled")
_VOID = (
    r"(?i)^(已|全部|整单)?(作废|废弃|废票|取消|撤销|删除)(发票|状态)?$"
    r"|^空白(发票)?作废|^(void(ed)?|cancell?ed|deleted)$"
)
_YES = r"(?i)^(是|已?作废|y|yes|true|1|√|✓)$"
_AT_HOME = ("本币", "本位币", "人民币", "RMB", "CNY", "折人民币", "折合")  # in a heading: amounts in yuan already


def name_of(heading: str) -> str:
    """What a column beside the fields is called among them: no field is called like it."""
    return f"\x00{heading}"


def is_side(heading: str) -> bool:
    """Is a column of this heading read wherever it stands?"""
    return _is(heading, _CURRENCY) or _is(heading, _STATUS) or _is(heading, _IS_VOID)


def row_rules(
    only: Mapping[str, tuple[str, ...]], currency: str | None, headings: list[str], amounts: list[str]
) -> list[RowRule]:
    """What is asked of each row of a table with these headings; `amounts` are those of its amounts. `only` and
    `currency` are what data.toml says of them."""
    rules = [_chosen(heading, values) for heading, values in only.items()]
    for heading in (one for one in headings if one not in only):
        if _is(heading, _STATUS):
            rules.append(RowRule(name_of(heading), heading, "voided", lambda cell: ~_says(cell, _VOID)))
        if _is(heading, _IS_VOID):
            rules.append(RowRule(name_of(heading), heading, "voided", lambda cell: ~_says(cell, _YES)))
    if currency is None and amounts and not all(any(word in one for word in _AT_HOME) for one in amounts):
        currency = next((one for one in headings if _is(one, _CURRENCY)), "")
    if currency:
        rules.append(RowRule(name_of(currency), currency, "foreign-currency", is_yuan))
    return rules


def chosen(said: object) -> Mapping[str, tuple[str, ...]]:
    """`only` of data.toml: heading -> the values whose rows count. TypeError if it is none."""
    if not isinstance(said, dict):
        raise TypeError(said)
    found = {name: (value,) if isinstance(value, str) else tuple(value) for name, value in said.items()}
    if not all(values and all(isinstance(one, str) for one in values) for values in found.values()):
        raise TypeError(said)
    return found


def _chosen(heading: str, values: tuple[str, ...]) -> RowRule:
    return RowRule(name_of(heading), heading, "not-chosen", lambda cell: cell.fill_null("").is_in(values))


def _is(heading: str, names: tuple[str, ...]) -> bool:
    return is_called(heading.partition("[")[0], *names)


def _says(cell: pl.Expr, pattern: str) -> pl.Expr:
    return cell.fill_null("").str.contains(pattern)
