# The same with a bound.
import os, queue, threading
waiting = queue.Queue(maxsize=16)
def read():
    while piece := os.read(0, 65536):
        waiting.put(piece)
threading.Thread(target=read, daemon=True).start()
while True:
    os.write(1, waiting.get())
