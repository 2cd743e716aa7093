"""An export for WSGI servers."""

BLOCK = bytes(64 * 1024)


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return (BLOCK for _ in range(3200))
