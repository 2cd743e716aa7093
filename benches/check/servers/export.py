"""Serves a large export, a thread for each client."""
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BLOCK = bytes(64 * 1024)
BLOCKS = 6400


class Export(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        if self.path == "/waits":
            self.send_header("Content-Length", str(len(BLOCK) * BLOCKS))
        self.end_headers()
        try:
            if self.path == "/waits":
                for _ in range(BLOCKS):
                    self.wfile.write(BLOCK)
            elif self.path == "/whole":
                self.wfile.write(b"".join(b"%d" % n + BLOCK for n in range(BLOCKS // 4)))
            else:
                while True:
                    self.wfile.write(b"x" * 1024)
                    time.sleep(0.05)
        except OSError:
            pass

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Export).serve_forever()
