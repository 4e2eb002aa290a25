"""Prints a TOML file as one Erlang term in the external term format.

Tables become maps with binary keys and strings become UTF-8 binaries. A file that cannot be read
ends with status 1 and the reason in place of the term.
"""

import datetime
import math
import struct
import sys
import tomllib


def encode(value):
    match value:
        case bool():
            return atom(str(value).lower())
        case int():
            return integer(value)
        case float():
            return real(value)
        case str():
            text = value.encode()
            return b"m" + length(text) + text
        case list():
            items = b"".join(map(encode, value))
            return b"l" + length(value) + items + b"j" if value else b"j"
        case dict():
            pairs = b"".join(encode(key) + encode(item) for key, item in value.items())
            return b"t" + length(value) + pairs
        case datetime.date() | datetime.time():
            raise ValueError(f"no option is a date or a time: {value}")


def length(items):
    return struct.pack(">I", len(items))


def atom(name):
    return b"w" + bytes([len(name)]) + name.encode()


def integer(value):
    if -(2**31) <= value < 2**31:
        return b"b" + struct.pack(">i", value)
    size = (abs(value).bit_length() + 7) // 8
    if size > 255:
        raise ValueError("an integer is too big")
    return b"n" + bytes([size, value < 0]) + abs(value).to_bytes(size, "little")


def real(value):
    if not math.isfinite(value):
        raise ValueError(f"no option is {value}")
    return b"F" + struct.pack(">d", value)


def main(path):
    try:
        with open(path, "rb") as file:
            term = b"\x83" + encode(tomllib.load(file))
    except (OSError, ValueError) as reason:
        sys.stdout.buffer.write(str(reason).encode())
        return 1
    sys.stdout.buffer.write(term)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
