"""The points of Curve25519 on which every private key agrees with zero, in all their spellings (RFC 7748, section 6.1)."""

_P = 2**255 - 19
_U = (
    0,
    1,
    _P - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
)
SMALL_ORDER = tuple(
    (number | top << 255).to_bytes(32, "little")
    for u in _U
    for number in (u, u + _P)
    if number < 2**255
    for top in (0, 1)
)
