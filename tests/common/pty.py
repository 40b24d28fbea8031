"""Runs a command on a new terminal and copies its output there to standard output.

    pty.py WIDTHxHEIGHT MOOD COMMAND...

MOOD selects what the person at the terminal does. `watch`: nothing. `interrupt`: type Ctrl-C when a first command has
started. `interrupt:TEXT`: type it when that text was shown. `resize`: make the window smaller and larger all the time.
`ignore`: never read.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios

width, height = map(int, sys.argv[1].split("x"))
(mood, _, cue), command = sys.argv[2].partition(":"), sys.argv[3:]
cue = (cue or "started (pid").encode()


def size(fd, columns, rows):
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


ours, theirs = pty.openpty()
size(theirs, width, height)
child = os.fork()
if child == 0:
    os.close(ours)
    os.setsid()
    fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
    for fd in (0, 1, 2):
        os.dup2(theirs, fd)
    os.close(theirs)
    os.execvp(command[0], command)
os.close(theirs)
if mood == "ignore":
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))
shown, turn = b"", 0
while True:
    if mood == "resize":
        turn += 1
        size(ours, [width, 20, 1, 200][turn % 4], [height, 5, 1, 60][turn % 4])
    ready, _, _ = select.select([ours], [], [], 0.01 if mood == "resize" else None)
    if not ready:
        continue
    try:
        data = os.read(ours, 65536)
    except OSError:
        break  # No process has the terminal open any more.
    if not data:
        break
    shown += data
    os.write(1, data)
    if mood == "interrupt" and cue in shown:
        mood = "watch"
        os.write(ours, b"\x03")
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
