"""Runs a program on a terminal of its own: python3 terminal.py ROWS COLUMNS PROGRAM [ARGUMENT ...]

What the program writes goes to the standard output, as it comes. A line with two numbers on the standard input gives
the terminal another size; its end ends the program.
"""

import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading


def main():
    rows, columns, *words = sys.argv[1:]
    master, slave = os.openpty()
    termios.tcsetwinsize(slave, (int(rows), int(columns)))
    process = subprocess.Popen(
        words,
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(slave, termios.TIOCSCTTY, 0),
    )
    os.close(slave)
    threading.Thread(target=copy, args=(master,), daemon=True).start()
    for line in sys.stdin:
        termios.tcsetwinsize(master, [int(number) for number in line.split()])
    os.killpg(process.pid, signal.SIGKILL)


def copy(master):
    try:
        while True:
            sys.stdout.buffer.write(os.read(master, 4096))
            sys.stdout.buffer.flush()
    except OSError:
        # Nobody has the terminal any more, or nobody reads.
        os._exit(0)


main()
