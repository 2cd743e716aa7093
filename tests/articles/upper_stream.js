const { Transform, pipeline } = require('stream');
const split = () => {
  let rest = '';
  return new Transform({
    readableObjectMode: true,
    transform(chunk, _, done) {
      const lines = (rest + chunk).split('\n');
      rest = lines.pop();
      for (const line of lines) this.push(line);
      done();
    },
  });
};
const upper = new Transform({
  writableObjectMode: true,
  transform(line, _, done) {
    const record = JSON.parse(line);
    record.name = record.name.toUpperCase();
    done(null, JSON.stringify(record) + '\n');
  },
});
process.stdin.setEncoding('utf8');
pipeline(process.stdin, split(), upper, process.stdout, (error) => { process.exitCode = error ? 1 : 0; });
