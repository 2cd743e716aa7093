// Ignores that write() said it was full.
process.stdin.on('data', (piece) => process.stdout.write(piece));
