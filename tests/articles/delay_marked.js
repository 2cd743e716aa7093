const { Writable } = require('stream');
process.stdin.pipe(new Writable({
  highWaterMark: 64,
  write(chunk, _, done) {
    setTimeout(() => process.stdout.write(chunk, done), 20);
  },
}));
