// Four rows on the one side, 4 KiB on the other.
const { Transform, pipeline } = require('stream');
let rest = '';
const split = new Transform({
  readableObjectMode: true,
  readableHighWaterMark: 4,
  transform(chunk, _, done) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop();
    for (const line of lines) this.push(line);
    done();
  },
});
const format = new Transform({
  writableObjectMode: true,
  writableHighWaterMark: 4,
  readableHighWaterMark: 4096,
  transform(line, _, done) {
    const record = JSON.parse(line);
    done(null, `${record.id},${record.name}\n`);
  },
});
process.stdin.setEncoding('utf8');
process.stdout.write('id,name\n');
pipeline(process.stdin, split, format, process.stdout, (error) => { process.exitCode = error ? 1 : 0; });
