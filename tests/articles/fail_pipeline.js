const { createReadStream, createWriteStream, readdirSync, readlinkSync } = require('fs');
const { Transform, pipeline } = require('stream');
const [, , from, to] = process.argv;
const failing = new Transform({ transform(_, __, done) { done(new Error('it failed')); } });
pipeline(createReadStream(from), failing, createWriteStream(to), () => setTimeout(() => {
  const open = readdirSync('/proc/self/fd').filter((fd) => {
    try { return [from, to].includes(readlinkSync(`/proc/self/fd/${fd}`)); } catch { return false; }
  });
  console.log(open.length);
  process.exit(1);
}, 50));
