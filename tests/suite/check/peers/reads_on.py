# A thread reads on and queues without a bound; another writes.
import os, queue, threading
waiting = queue.Queue()
def read():
    while piece := os.read(0, 65536):
        waiting.put(piece)
threading.Thread(target=read, daemon=True).start()
while True:
    os.write(1, waiting.get())
