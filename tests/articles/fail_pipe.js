// Broken: pipe() neither closes its source nor its destination when a stage between them fails.
const { createReadStream, createWriteStream, readdirSync, readlinkSync } = require('fs');
const { Transform } = require('stream');
const [, , from, to] = process.argv;
const failing = new Transform({ transform(_, __, done) { done(new Error('it failed')); } });
createReadStream(from).pipe(failing).on('error', () => setTimeout(() => {
  const open = readdirSync('/proc/self/fd').filter((fd) => {
    try { return [from, to].includes(readlinkSync(`/proc/self/fd/${fd}`)); } catch { return false; }
  });
  console.log(open.length);
  process.exit(1);
}, 50)).pipe(createWriteStream(to));
