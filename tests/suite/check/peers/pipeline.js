const { pipeline } = require('node:stream');
pipeline(process.stdin, process.stdout, () => {});
