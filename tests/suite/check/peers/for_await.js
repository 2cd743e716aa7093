// Reads with for await, which waits for each piece, and writes without waiting for any.
(async () => {
  for await (const piece of process.stdin) process.stdout.write(piece);
})();
