const { once } = require('node:events');
(async () => {
  for await (const piece of process.stdin) {
    if (!process.stdout.write(piece)) await once(process.stdout, 'drain');
  }
})();
