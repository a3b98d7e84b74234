"""Persistent maps and sets as fields of the fold's values: an added entry shares all the rest.

pydantic knows their JSON as lists, so that a state can be written down and read again by its types alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, PlainSerializer
from rpds import HashTrieMap, HashTrieSet

if TYPE_CHECKING:
    Map = HashTrieMap
    Set = HashTrieSet
else:  # the library's own classes take no parameters at run time

    class Map:
        """`Map[key, value]`: a HashTrieMap, in JSON a list of [key, value]."""

        def __class_getitem__(cls, types: tuple[Any, Any]) -> Any:
            pairs = list[tuple[types]]
            read = AfterValidator(lambda held: HashTrieMap(dict(held)))
            return Annotated[pairs, read, PlainSerializer(lambda held: list(held.items()), return_type=pairs)]

    class Set:
        """`Set[item]`: a HashTrieSet, in JSON a list."""

        def __class_getitem__(cls, item: Any) -> Any:
            return Annotated[list[item], AfterValidator(HashTrieSet), PlainSerializer(list, return_type=list[item])]
