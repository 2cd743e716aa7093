// Says that a piece is done before it is: the pieces pile up in front of the work.
const { pipeline, Transform } = require('node:stream');
let work = Promise.resolve();
const early = new Transform({
  transform(piece, _, done) {
    work = work.then(() => new Promise((worked) => setTimeout(worked, 200))).then(() => this.push(piece));
    done();
  },
});
pipeline(process.stdin, early, process.stdout, () => {});
