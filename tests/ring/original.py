"""A node of the token ring that behaves as the original program, for the tests of `arete ring --compat`.

It sends the original's JSON without additional keys, orders ids as strings, sends one message on each connection, which
its end ends, and adds a character with each hop. It ignores keys that it does not know. It exits with status 1 if the
original would become deaf: after a datagram or a connection without a message, a wrong serial code, or an unknown type.

    original.py ID ADDRESS BROADCAST UDP_PORT TCP_PORT STEPS_FILE NUMBER [PERIOD=SECONDS ...]

Each hop is a line in STEPS_FILE: "NUMBER 0 0 DATA".
"""

import json
import selectors
import socket
import sys
import time

CODES = {
    "ping": 581831,
    "where is token": 581831,
    "token was here recently": 581831,
    "token is here": 328067,
    "generating token": 328067,
    "take token": 137344,
}
TOKEN_CODE = 407246
PERIODS = {"heartbeat": 0.5, "waiter": 2.0, "ask": 0.5, "answer": 2.0, "generating": 2.0, "hold": 2.0}


def say_log(text):
    print(f"{time.time():.3f} {text}", flush=True)


def deaf(why, what):
    say_log(f"is deaf: {why}: {what[:300]!r}")
    sys.exit(1)


class Original:
    def __init__(self, words):
        self.id, self.address, self.broadcast = words[:3]
        self.udp_port, self.tcp_port = int(words[3]), int(words[4])
        self.steps_file, self.number = words[5], words[6]
        self.periods = {**PERIODS, **{name: float(text) for name, text in (word.split("=") for word in words[7:])}}
        self.nodes, self.lost = {self.id: self.address}, set()
        self.state, self.token, self.data, self.revision = None, None, "", 0
        self.timers = {}
        self.selector = selectors.DefaultSelector()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.udp.bind(("", self.udp_port))
        self.voice = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.voice.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.voice.bind((self.address, 0))
        self.listener = socket.create_server((self.address, self.tcp_port), backlog=100)
        for source in (self.udp, self.listener):
            source.setblocking(False)
            self.selector.register(source, selectors.EVENT_READ)
        self.partial = {}

    # The messages that it sends.

    def message(self, kind, **more):
        return {"serial_code": CODES[kind], "type": kind, "author_node_id": self.id, **more}

    def to_all(self, kind, **more):
        try:
            self.voice.sendto(json.dumps(self.message(kind, **more)).encode(), (self.broadcast, self.udp_port))
        except OSError as error:
            say_log(f"cannot say {kind}: {error}")

    def to_one(self, node, kind, **more):
        """Sends a message on a new connection. Returns whether that succeeded."""
        try:
            with socket.create_connection((self.nodes[node], self.tcp_port), 1, (self.address, 0)) as connection:
                connection.sendall(json.dumps(self.message(kind, **more)).encode())
            return True
        except OSError as error:
            say_log(f"cannot say {kind} to {node}: {error}")
            return False

    # States.

    def become(self, state, *timers):
        if state != self.state:
            say_log(f"{self.state} -> {state}")
        self.state = state
        self.timers = {}
        self.restart(*timers)

    def restart(self, *names):
        for name in names:
            self.timers[name] = time.monotonic() + self.periods[name]

    def waiter(self):
        self.become("WAITER", "waiter")

    def looser(self):
        self.become("LOOSER", "ask", "answer")
        self.to_all("where is token")

    def generating(self):
        self.become("GENERATING", "ask", "generating")
        self.to_all("generating token", token=self.candidate())

    def candidate(self):
        return {
            "serial_code": TOKEN_CODE,
            "progress": len(self.data),
            "author_node_id": self.id,
            "author_token_revision": self.revision + 1,
        }

    def owner(self):
        self.become("OWNER", "heartbeat", "hold")
        with open(self.steps_file, "a") as file:
            file.write(f"{self.number} 0 0 {self.data}\n")
        self.to_all("token is here", token=self.token)
        self.data += self.number
        self.token["progress"] = len(self.data)

    def hand_over(self):
        order = sorted(self.nodes)
        at = order.index(self.id)
        for node in order[at + 1 :] + order[:at]:
            if node not in self.lost:
                if self.to_one(node, "take token", token=self.token, nodes=self.nodes, data=self.data):
                    return self.waiter()
                self.lost.add(node)
        self.owner()

    def fire(self, name):
        if name == "heartbeat":
            self.to_all("token is here", token=self.token)
            self.restart("heartbeat")
        elif name == "hold":
            self.hand_over()
        elif name == "waiter":
            self.looser()
        elif name == "ask" and self.state == "LOOSER":
            self.to_all("where is token")
            self.restart("ask")
        elif name == "ask":
            self.to_all("generating token", token=self.candidate())
            self.restart("ask")
        elif name == "answer":
            self.generating()
        elif name == "generating":
            self.token = self.candidate()
            self.revision += 1
            self.owner()

    # The messages that it receives.

    def heard(self, raw, address, to_all):
        try:
            message = json.loads(raw.decode())
            kind, author, code = message["type"], message["author_node_id"], message["serial_code"]
        except (ValueError, KeyError, TypeError) as error:
            deaf(f"no message: {error!r}", raw)
        if kind not in CODES or CODES[kind] != code:
            deaf("a wrong type or serial code", raw)
        token = message.get("token")
        if "token" in kind and kind in ("token is here", "generating token", "take token"):
            if not isinstance(token, dict) or token.get("serial_code") != TOKEN_CODE:
                deaf("no token", raw)
        if author == self.id:
            return
        if author not in self.nodes:
            self.nodes[author] = address
            say_log(f"node {author} is at {address}")
            if to_all:
                self.to_one(author, "ping")
        self.lost.discard(author)
        self.react(kind, author, token, message)

    def react(self, kind, author, token, message):
        owner = self.state == "OWNER"
        if kind == "token is here":
            self.token_is_here(author, token)
        elif kind == "where is token" and owner:
            self.to_one(author, "token is here", token=self.token)
        elif kind == "generating token" and owner:
            self.to_one(author, "token is here", token=self.token)
            self.to_all("token is here", token=self.token)
        elif kind in ("where is token", "generating token") and self.state == "WAITER":
            self.to_one(author, "token was here recently")
        elif kind == "token was here recently" and self.state == "LOOSER":
            self.restart("ask", "answer")
        elif kind == "token was here recently" and self.state == "GENERATING":
            self.looser()
        elif kind == "generating token" and self.state in ("LOOSER", "GENERATING"):
            self.another_generates(author, token)
        elif kind == "take token":
            self.take(author, token, message)

    def token_is_here(self, author, token):
        if self.state != "OWNER":
            self.token = token
            return self.waiter()
        if strength(token) > strength(self.token):
            self.to_one(author, "ping")
            self.token = token
            self.waiter()
        elif strength(token) < strength(self.token):
            self.to_one(author, "token is here", token=self.token)
            self.to_all("token is here", token=self.token)

    def another_generates(self, author, token):
        if strength(token) > strength(self.candidate()):
            if self.state == "GENERATING":
                return self.looser()
            return self.restart("ask", "answer")
        if self.state == "LOOSER":
            self.generating()
        else:
            self.to_all("generating token", token=self.candidate())
        self.to_one(author, "generating token", token=self.candidate())

    def take(self, author, token, message):
        older = self.token is not None and strength(token) < strength(self.token)
        if self.state == "OWNER" or older:
            return say_log(f"refuses the token of {author}: {token}")
        if not isinstance(message.get("data"), str) or not isinstance(message.get("nodes"), dict):
            deaf("no data or no nodes", json.dumps(message).encode())
        for node, address in message["nodes"].items():
            self.nodes.setdefault(node, address)
        self.token, self.data = token, message["data"]
        self.owner()

    def accept(self):
        try:
            connection, (address, _) = self.listener.accept()
        except BlockingIOError:
            return
        connection.setblocking(False)
        self.partial[connection] = (address, b"")
        self.selector.register(connection, selectors.EVENT_READ)

    def read(self, connection):
        address, so_far = self.partial[connection]
        try:
            more = connection.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            deaf(f"a connection broke: {error}", so_far)
        if more:
            self.partial[connection] = (address, so_far + more)
            return
        self.selector.unregister(connection)
        connection.close()
        del self.partial[connection]
        self.heard(so_far, address, False)

    def run(self):
        for _ in range(3):
            self.to_all("ping")
        self.looser()
        while True:
            wait = min(self.timers.values(), default=time.monotonic() + 1) - time.monotonic()
            for key, _ in self.selector.select(max(wait, 0)):
                if key.fileobj is self.udp:
                    raw, (address, _) = self.udp.recvfrom(1 << 16)
                    self.heard(raw, address, True)
                elif key.fileobj is self.listener:
                    self.accept()
                else:
                    self.read(key.fileobj)
            due = [name for name, at in self.timers.items() if at <= time.monotonic()]
            if due:
                self.timers.pop(due[0])
                self.fire(due[0])


def strength(token):
    return token["progress"], token["author_node_id"], token["author_token_revision"]


Original(sys.argv[1:]).run()
