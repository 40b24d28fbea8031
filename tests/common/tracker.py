"""A BitTorrent tracker over HTTP that holds one swarm in memory: `tracker.py ADDRESS PORT`."""

import http.server
import socket
import socketserver
import struct
import sys
from urllib.parse import parse_qs

INTERVAL_SECONDS = 1
peers = {}


class Announce(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        query = self.path.partition("?")[2]
        fields = {key: values[0] for key, values in parse_qs(query, encoding="latin-1").items()}
        torrent = peers.setdefault(fields.get("info_hash"), {})
        address = fields.get("ip") or self.client_address[0]
        me = socket.inet_aton(address) + struct.pack(">H", int(fields.get("port", "0")))
        if fields.get("event") == "stopped":
            torrent.pop(me, None)
        else:
            torrent[me] = True
        others = b"".join(peer for peer in torrent if peer != me)
        body = b"d8:intervali%de5:peers%d:%se" % (INTERVAL_SECONDS, len(others), others)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Tracker(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def server_bind(self):
        # Without a look-up of its own host name, which may take seconds in a lab without a name server.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = self.server_address[:2]


tracker = Tracker((sys.argv[1], int(sys.argv[2])), Announce)
print("listening", flush=True)
tracker.serve_forever()
