// Says that a piece is done when it is.
const { pipeline, Transform } = require('node:stream');
const late = new Transform({
  transform(piece, _, done) {
    setTimeout(() => done(null, piece), 5);
  },
});
pipeline(process.stdin, late, process.stdout, () => {});
