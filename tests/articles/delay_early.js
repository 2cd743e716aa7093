// Broken: calls back before its work is done.
const { Writable } = require('stream');
process.stdin.pipe(new Writable({
  highWaterMark: 64,
  write(chunk, _, done) {
    setTimeout(() => process.stdout.write(chunk), 20);
    done();
  },
}));
