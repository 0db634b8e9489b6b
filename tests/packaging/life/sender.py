"""Sends as user nobody until it is ended: UDP and TCP to 203.0.113.7, ports 9 and 80, whatever happens to the network.

sender.py            for ever
sender.py once PORT UID tcp|udp   one attempt
"""

import os
import socket
import sys
import time


def attempt(port, kind):
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
    made.setblocking(False)
    try:
        if kind == "tcp":
            made.connect(("203.0.113.7", port))
        else:
            made.sendto(b"x", ("203.0.113.7", port))
    except OSError:
        pass
    finally:
        made.close()


if len(sys.argv) > 1:
    os.setuid(int(sys.argv[3]))
    attempt(int(sys.argv[2]), sys.argv[4])
else:
    os.setuid(65534)
    while True:
        attempt(9, "udp")
        attempt(80, "tcp")
        time.sleep(0.01)
