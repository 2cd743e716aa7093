"""Reads a mebibyte once a second, and writes from a queue without bound."""
import queue
import sys
import threading
import time

pending = queue.Queue()


def write():
    while True:
        sys.stdout.buffer.write(pending.get())
        sys.stdout.buffer.flush()


threading.Thread(target=write, daemon=True).start()
while piece := sys.stdin.buffer.read(1 << 20):
    pending.put(piece)
    time.sleep(1)
