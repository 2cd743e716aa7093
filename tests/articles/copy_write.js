// Broken: ignores that write() returned false.
process.stdin.on('data', (chunk) => process.stdout.write(chunk));
