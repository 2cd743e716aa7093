"""Puts all of its input into a temporary file before it writes anything."""
import shutil
import sys
import tempfile

with tempfile.TemporaryFile() as spool:
    shutil.copyfileobj(sys.stdin.buffer, spool)
    spool.seek(0)
    shutil.copyfileobj(spool, sys.stdout.buffer)
