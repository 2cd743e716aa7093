// A query as compressed CSV, two at a time. /waits: the client's pace reaches the database. /array: as with a driver that
// returns all rows (broken).
const http = require('http');
const { spawn } = require('child_process');
const { pipeline } = require('stream');
const { createGzip, gzipSync } = require('zlib');
const [, , database, query] = process.argv;

let free = 2;
const line = [];
const take = () => (free > 0 ? void free-- : new Promise((go) => line.push(go)));
const give = () => (line.length > 0 ? line.shift()() : free++);

const server = http.createServer(async (request, response) => {
  await take();
  const session = spawn('psql', ['-X', '-q', '-c', `COPY (${query}) TO STDOUT (FORMAT csv, HEADER)`, database]);
  if (request.url === '/waits') return pipeline(session.stdout, createGzip(), response, give);
  const rows = [];
  session.stdout.on('data', (part) => rows.push(part));
  session.stdout.on('end', () => {
    give();
    response.end(gzipSync(Buffer.concat(rows)));
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
