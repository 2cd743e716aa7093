const { pipeline } = require('stream');
const request = require('http').request(process.argv[2], { method: 'PUT' }, (response) => {
  response.resume();
  process.exitCode = response.statusCode < 300 ? 0 : 1;
});
pipeline(process.stdin, request, (error) => { if (error) process.exitCode = 1; });
