"""Persistent maps and sets as fields of the fold's values: an added entry shares all the rest.

pydantic knows their JSON as lists, so that a state can be written down and read again by its types alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema
from rpds import HashTrieMap, HashTrieSet

if TYPE_CHECKING:
    Map = HashTrieMap
    Set = HashTrieSet
else:  # the library's own classes take no parameters at run time

    class Map:
        """`Map[key, value]`: a HashTrieMap, in JSON a list of [key, value]."""

        def __class_getitem__(cls, types: tuple[Any, Any]) -> Any:
            pairs = core_schema.plain_serializer_function_ser_schema(lambda held: list(held.items()))
            return Annotated[HashTrieMap, _Listed(tuple[types], lambda items: HashTrieMap(dict(items)), pairs)]

    class Set:
        """`Set[item]`: a HashTrieSet, in JSON a list."""

        def __class_getitem__(cls, item: Any) -> Any:
            items = core_schema.plain_serializer_function_ser_schema(list)
            return Annotated[HashTrieSet, _Listed(item, HashTrieSet, items)]


class _Listed:
    """How pydantic reads and writes what is a list of `item` in JSON; see `__get_pydantic_core_schema__` there."""

    def __init__(self, item: Any, make: Any, written: Any):
        self._item, self._make, self._written = item, make, written

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        listed = core_schema.list_schema(handler.generate_schema(self._item))
        written = {**self._written, "return_schema": listed}
        return core_schema.no_info_after_validator_function(self._make, listed, serialization=written)
