"""Records the messages of the nodes of a ring on the loopback interface, and replays them, for the tests.

    replay.py record FILE UDP_PORT TCP_PORT     until SIGINT; then prints the number of messages of each type
    replay.py play FILE UDP_PORT TCP_PORT       each datagram and each message, with its sender and its receiver
"""

import collections
import json
import re
import signal
import socket
import struct
import sys

EVERY_PROTOCOL = 3
IPV4, TCP, UDP = 0x0800, 6, 17


def record(file, udp_port, tcp_port):
    ear = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(EVERY_PROTOCOL))
    ear.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 << 20)
    ear.bind(("lo", IPV4))
    print("listening", flush=True)
    datagrams, streams = [], collections.defaultdict(dict)
    try:
        while True:
            packet, (_, _, direction, *_) = ear.recvfrom(1 << 17)
            if direction != socket.PACKET_OUTGOING:
                take(packet, udp_port, tcp_port, datagrams, streams)
    except KeyboardInterrupt:
        pass
    messages = [(source, to, b"".join(parts[nr] for nr in sorted(parts))) for (source, _, to), parts in streams.items()]
    said = [("udp", *one) for one in datagrams] + [("tcp", *one) for one in messages]
    with open(file, "w") as out:
        for way, source, to, data in said:
            out.write(json.dumps([way, source, to, data.hex()]) + "\n")
    types = collections.Counter(kind for *_, data in said for kind in re.findall(rb'"type":"([^"]*)"', data))
    for kind, count in types.items():
        print(count, kind.decode())


def take(packet, udp_port, tcp_port, datagrams, streams):
    length, header = struct.unpack("!H", packet[2:4])[0], (packet[0] & 15) * 4
    source, to = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
    rest = packet[header:length]
    if packet[9] == UDP and struct.unpack("!H", rest[2:4])[0] == udp_port:
        datagrams.append((source, to, rest[8:]))
    elif packet[9] == TCP and struct.unpack("!H", rest[2:4])[0] == tcp_port:
        port, number = struct.unpack("!H", rest[:2])[0], struct.unpack("!I", rest[4:8])[0]
        data = rest[(rest[12] >> 4) * 4 :]
        if data:
            streams[source, port, to][number] = data


def play(file, udp_port, tcp_port):
    for line in open(file):
        way, source, to, data = json.loads(line)
        if way == "udp":
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as voice:
                voice.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                voice.bind((source, 0))
                voice.sendto(bytes.fromhex(data), (to, udp_port))
        else:
            with socket.create_connection((to, tcp_port), 5, (source, 0)) as connection:
                connection.sendall(bytes.fromhex(data))


# A shell that starts a process in the background may ignore SIGINT for it.
signal.signal(signal.SIGINT, signal.default_int_handler)
{"record": record, "play": play}[sys.argv[1]](sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
