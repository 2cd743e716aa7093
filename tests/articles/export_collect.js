// Broken: all rows are in memory before the first one is sent.
const { spawn } = require('child_process');
const { gzipSync } = require('zlib');
const [, , database, query] = process.argv;
const server = require('http').createServer((_, response) => {
  const rows = [];
  const session = spawn('sqlite3', ['-csv', '-header', database, query]);
  session.stdout.on('data', (part) => rows.push(part));
  session.on('close', () => response.end(gzipSync(Buffer.concat(rows))));
});
server.listen(0, '127.0.0.1', () => console.error(`listening on http://127.0.0.1:${server.address().port}`));
