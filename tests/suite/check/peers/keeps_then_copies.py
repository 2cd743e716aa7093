"""Keeps the first 100 MB, then becomes cat."""
import os

pieces, size = [], 0
while size < 100_000_000:
    pieces.append(os.read(0, 1 << 16))
    size += len(pieces[-1])
os.execvp("cat", ["cat"])
