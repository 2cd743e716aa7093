// Serves a large export in several ways.
const http = require('node:http');
const { Readable, pipeline } = require('node:stream');
const BLOCK = 64 * 1024;
const BLOCKS = 1600;
function* blocks() {
  for (let n = 0; n < BLOCKS; n++) yield Buffer.alloc(BLOCK, n);
}
const routes = {
  '/waits': (response) => pipeline(Readable.from(blocks()), response, () => {}),
  '/ignores': (response) => {
    for (const block of blocks()) response.write(block);
    response.end();
  },
  '/whole': (response) => response.end(Buffer.concat([...blocks()])),
  '/trickle': (response) => {
    const timer = setInterval(() => response.write('twelve bytes'), 500);
    response.on('close', () => clearInterval(timer));
  },
  '/short': (response) => response.end(Buffer.alloc(100_000)),
};
const server = http.createServer((request, response) => {
  const route = routes[request.url];
  return route ? route(response) : response.writeHead(404).end();
});
server.listen(Number(process.argv[2]), '127.0.0.1');
