"""Writes one line for each IP packet that arrives, "udp 203.0.113.7:9". observer.py INTERFACE FILE"""

import ipaddress
import signal
import socket
import struct
import sys

wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
wire.bind((sys.argv[1], 0))
out = open(sys.argv[2], "w", buffering=1)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
out.write("ready\n")
while True:
    frame, where = wire.recvfrom(65535)
    if where[2] == socket.PACKET_OUTGOING:
        continue
    kind = struct.unpack("!H", frame[12:14])[0]
    if kind == 0x0800:
        header = (frame[14] & 15) * 4
        to, protocol = ipaddress.ip_address(frame[30:34]), frame[23]
        name = {6: "tcp", 17: "udp", 1: "icmp"}.get(protocol, str(protocol))
        port = f":{struct.unpack('!H', frame[14 + header + 2:14 + header + 4])[0]}" if protocol in (6, 17) else ""
        out.write(f"{name} {to}{port}\n")
    elif kind == 0x86DD:
        out.write(f"ipv6 {ipaddress.ip_address(frame[38:54])}\n")
