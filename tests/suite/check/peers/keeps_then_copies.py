"""Keeps the first 50 MB, then becomes cat."""
import os

pieces, size = [], 0
while size < 50_000_000:
    pieces.append(os.read(0, 1 << 16))
    size += len(pieces[-1])
os.execvp("cat", ["cat"])
