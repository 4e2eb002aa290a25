"""How a receiver speaks with the Erlang port that runs it, or with a person at a shell.

Each line on stdout is one Erlang term with a full stop; what else is printed goes to stderr. Each line on stdin is a
command, in words as a shell quotes them, and has one answer, in order: {Command, Answer}, or {error, Text} if it fails.
The word quit, or the end of stdin, ends the program. So does SIGTERM, whatever it waits for.
"""

import os
import shlex
import signal
import sys
import threading

from erlang_term import Atom, term


def parent():
    """Sends terms to the parent. What anybody else prints goes to stderr from here on."""
    signal.signal(signal.SIGTERM, _end)
    stdout, lock = os.fdopen(os.dup(1), "w", encoding="ascii"), threading.Lock()
    os.dup2(2, 1)

    def report(value):
        with lock:
            stdout.write(term(value) + ".\n")
            stdout.flush()

    return report


def _end(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(1)


def serve_commands(report, command):
    """Answers with what `command` makes of the words of each line, until there are no more."""
    for line in sys.stdin:
        try:
            words = shlex.split(line)
            if words == ["quit"]:
                break
            report((Atom(words[0]), command(words)))
        except Exception as error:
            report((Atom("error"), str(error) or type(error).__name__))
    # What is put in order from here on is not to be interrupted.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
