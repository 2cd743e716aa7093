const { Transform, pipeline } = require('stream');
const email = /[\w.]+@[\w.]+/g;
let rest = '';
const redact = new Transform({
  transform(chunk, _, done) {
    const events = (rest + chunk).split('\n\n');
    rest = events.pop();
    done(null, events.map((event) => event.replace(email, '***') + '\n\n').join(''));
  },
});
process.stdin.setEncoding('utf8');
pipeline(process.stdin, redact, process.stdout, (error) => { process.exitCode = error ? 1 : 0; });
