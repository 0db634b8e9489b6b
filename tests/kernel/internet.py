#!/usr/bin/env python3
"""A small Internet: HTTP on every address, port 80, and resolvers (UDP, port 53).

    internet.py ADDRESS RESOLVER...

Listens for questions at each RESOLVER; every name has the A record ADDRESS and no other record. GET answers with the client's address; PUT with the number of
bytes that came. Says "ready" on standard output when both listen. Ends with standard input.
"""

import http.server
import socket
import struct
import sys
import threading


class Site(http.server.BaseHTTPRequestHandler):
    def say(self, text):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.say(self.client_address[0])

    def do_PUT(self):
        left = int(self.headers["Content-Length"])
        count = 0
        while left > 0:
            part = self.rfile.read(min(left, 65536))
            if not part:
                break
            left -= len(part)
            count += len(part)
        self.say(str(count))

    def log_message(self, *_):
        pass


def resolve(sock, address):
    while True:
        query, client = sock.recvfrom(512)
        end = query.index(b"\0", 12) + 5
        question = query[12:end]
        is_a = question[-4:-2] == b"\0\1"
        answer = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton(address) if is_a else b""
        head = query[:2] + b"\x81\x80" + struct.pack(">HHHH", 1, 1 if is_a else 0, 0, 0)
        sock.sendto(head + question + answer, client)


site = http.server.ThreadingHTTPServer(("0.0.0.0", 80), Site)
for own in sys.argv[2:]:  # a socket for each, so that answers leave by the address that was asked
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((own, 53))
    threading.Thread(target=resolve, args=(sock, sys.argv[1]), daemon=True).start()
threading.Thread(target=site.serve_forever, daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
