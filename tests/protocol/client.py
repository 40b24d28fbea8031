"""A slave that runs nothing and notifies: client.py PORT NAME TRIGGER. Written from arete-protocol(7) alone."""
import json
import os
import socket
import sys
import time

port, name, trigger = int(sys.argv[1]), sys.argv[2], sys.argv[3]
connection = socket.create_connection(("127.0.0.1", port), timeout=30)
lines = connection.makefile("r", encoding="utf-8", newline="\n")
run, prepared, offset, best, pings, seq, heard = None, False, 0, None, 8, 0, 0


def clock():
    return time.monotonic_ns() // 1000


def say(kind, **fields):
    connection.sendall(json.dumps({"type": kind, **fields}).encode() + b"\n")


def report(event, **fields):
    global seq
    seq += 1
    say("report", run=run, seq=seq, time=clock() + offset, event=event, **fields)


say("hello", protocol=1, version="client.py", name=name, incarnation=os.urandom(8).hex())
for line in lines:
    message = json.loads(line)
    kind = message.pop("type")
    print(kind, flush=True)
    if kind == "welcome":
        run = message["run"]
        say("ping", time=clock())
    elif kind == "pong":
        trip, pings = clock() - message["time"], pings - 1
        if best is None or trip < best:
            best, offset = trip, message["now"] - message["time"] - trip // 2
        if pings > 0:
            say("ping", time=clock())
        elif prepared:
            say("ready", run=run)
    elif kind == "prepare":
        prepared = True
        if pings <= 0:
            say("ready", run=run)
    elif kind == "start":
        time.sleep(max(0, message["at"] - offset - clock()) / 1e6)
        report("begun", late=max(0, clock() + offset - message["at"]) / 1e6, uncertain=best / 2e6)
        say("notify", room=run, trigger=trigger, count=1)
        report("idle", heard=heard)
    elif kind == "triggered":
        heard += 1
        report("settled", trigger=message["trigger"])
        report("idle", heard=heard)
    elif kind == "stop" and message["how"] != "finish":
        say("stopped", run=run)
    elif kind == "bye":
        sys.exit(0 if message["reason"] == "the run is over" else message["reason"])
