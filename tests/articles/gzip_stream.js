const { pipeline } = require('stream');
pipeline(process.stdin, require('zlib').createGzip(), process.stdout, (error) => { process.exitCode = error ? 1 : 0; });
