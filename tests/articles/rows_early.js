// Broken: says that a row is done before its output was taken.
const { Transform } = require('stream');
let rest = '';
const rows = new Transform({
  readableObjectMode: true,
  transform(chunk, _, done) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    for (const line of lines) this.push(line);
    done();
  },
});
process.stdin.setEncoding('utf8');
process.stdin.pipe(rows).on('data', (line) => {
  const record = JSON.parse(line);
  setImmediate(() => process.stdout.write(`${record.id},${record.name}\n`));
});
process.stdout.write('id,name\n');
