"""Starts a program as a service manager that passes sockets: activate.py SOCKET... -- PROGRAM ARGUMENT...

A SOCKET is tcp:HOST:PORT, unix:PATH or udp:HOST:PORT; the program gets them from descriptor 3 on. The script prints
each bound address on a line.
"""

import os
import socket
import sys


def bind(spec):
    kind, where = spec.split(":", 1)
    if kind == "unix":
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        made.bind(where)
    else:
        host, port = where.rsplit(":", 1)
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
        made.bind((host, int(port)))
    if kind != "udp":
        made.listen()
    print(made.getsockname(), flush=True)
    return made


split = sys.argv.index("--")
made = [bind(spec) for spec in sys.argv[1:split]]
# Far from their final numbers.
high = [os.dup2(each.fileno(), 100 + index, inheritable=False) for index, each in enumerate(made)]
for index, number in enumerate(high):
    os.dup2(number, 3 + index, inheritable=True)
os.environ["LISTEN_FDS"] = str(len(made))
os.environ["LISTEN_PID"] = str(os.getpid())
os.environ["LISTEN_FDNAMES"] = ":".join(f"socket{index}" for index in range(len(made)))
os.execvp(sys.argv[split + 1], sys.argv[split + 1 :])
