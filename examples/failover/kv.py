"""A pair of servers with one failover, and a writer. Small on purpose: it shows what a test of a real pair looks like.

kv.py serve primary|standby PEER    serves on port 4100, until it is stopped
kv.py write PRIMARY STANDBY         writes numbers, has the network cut in the middle, and checks that none is lost
"""

import socket, socketserver, subprocess, sys, threading, time

PORT = 4100
TAKES_OVER_AFTER = 1.0  # the standby, when it has not heard of the primary for so long
WAITS = 0.4


def ask(host, request):
    with socket.create_connection((host, PORT), WAITS) as peer:
        peer.settimeout(WAITS)
        peer.sendall(request.encode() + b"\n")
        return peer.makefile().readline().strip()


class Store:
    def __init__(self, role, peer):
        self.numbers, self.leads, self.peer = set(), role == "primary", peer
        self.is_primary, self.heard, self.lock = self.leads, time.monotonic(), threading.Lock()

    def answer(self, word, number):
        if word == "all":
            return " ".join(sorted(self.numbers))
        with self.lock:
            if word in ("copy", "beat"):
                if self.leads:
                    return "no"  # it has taken over, so the old primary must not write any more
                self.heard = time.monotonic()
            elif self.is_primary:
                try:
                    if ask(self.peer, "copy " + number) != "ok":
                        return "no"
                except OSError:
                    return "no"  # a write that the standby does not have is not acknowledged
            elif not self.leads:
                if time.monotonic() - self.heard < TAKES_OVER_AFTER:
                    return "no"
                self.leads = True
            if number:
                self.numbers.add(number)
            return "ok"


def serve(role, peer):
    store = Store(role, peer)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self):
            word, _, number = self.rfile.readline().decode().strip().partition(" ")
            self.wfile.write((store.answer(word, number) + "\n").encode())

    def beat():
        while role == "primary":
            time.sleep(0.2)
            try:
                ask(peer, "beat")
            except OSError:
                pass

    threading.Thread(target=beat, daemon=True).start()
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with socketserver.ThreadingTCPServer(("", PORT), Handler) as server:
        print(role, "serves", flush=True)
        server.serve_forever()


def write(*servers):
    acknowledged, by, told = [], [0, 0], False
    while by[1] < 20:  # until the standby has taken over
        for nr, server in enumerate(servers):
            try:
                if ask(server, "set %d" % len(acknowledged)) == "ok":
                    acknowledged.append(str(len(acknowledged)))
                    by[nr] += 1
                    break
            except OSError:
                pass
        if by[0] == 20 and not told:
            told = True
            subprocess.run(["arete", "notify", "cut"], check=True)
    print("acknowledged by the primary: %d, by the standby: %d" % tuple(by))
    lost = set(acknowledged) - set(ask(servers[1], "all").split())
    if lost:
        sys.exit("lost: %s" % sorted(lost))


{"serve": serve, "write": write}[sys.argv[1]](*sys.argv[2:])
