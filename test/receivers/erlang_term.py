"""Python values as Erlang term text, for programs that an Erlang port reads with erl_scan and erl_parse.

dict -> map, list -> list, tuple -> tuple, str -> binary in UTF-8, bytes -> binary, bool, int and float as they are,
None -> undefined. The text is ASCII in one line, whatever the values hold. Anything else raises TypeError.
"""

import math
import re

RESERVED = set(
    "after and andalso band begin bnot bor bsl bsr bxor case catch cond div else end fun if let maybe not of or "
    "orelse receive rem try when xor".split()
)


class Atom(str):
    """An Erlang atom; a plain str would become a binary."""


class Text(str):
    """The text of a term, which Erlang has written."""


def atoms(**fields):
    """A map with atom keys."""
    return {Atom(name): value for name, value in fields.items()}


def term(value) -> str:
    match value:
        case None:
            return "undefined"
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float():
            return _float(value)
        case Atom():
            return _atom(value)
        case Text():
            return str(value)
        case str():
            return f'<<"{_escaped(value.encode())}">>'
        case bytes():
            return f'<<"{_escaped(value)}">>'
        case tuple():
            return "{" + _joined(value) + "}"
        case list():
            return "[" + _joined(value) + "]"
        case dict():
            return "#{" + ", ".join(f"{term(k)} => {term(v)}" for k, v in value.items()) + "}"
    raise TypeError(f"no Erlang term for {type(value).__name__}")


def _joined(values):
    return ", ".join(map(term, values))


def _atom(name):
    if re.fullmatch("[a-z][a-zA-Z0-9_@]*", name) and name not in RESERVED:
        return str(name)
    return "'" + re.sub(r"[^ -&(-\[\]-~]", lambda c: f"\\x{{{ord(c[0]):x}}}", name) + "'"


def _float(number):
    if not math.isfinite(number):
        raise TypeError(f"no Erlang term for {number}")
    mantissa, *exponent = repr(number).split("e")
    return "e".join([mantissa if "." in mantissa else mantissa + ".0", *exponent])


def _escaped(octets):
    """Each byte as one character of an Erlang string; only what is not plain ASCII is written as an escape."""
    return re.sub(r'[^ !#-\[\]-~]', lambda c: f"\\x{{{ord(c[0]):x}}}", octets.decode("latin-1"))
