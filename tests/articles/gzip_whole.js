// Broken: the whole file is in memory, twice.
const { readFileSync, writeSync } = require('fs');
const packed = require('zlib').gzipSync(readFileSync(0));
for (let at = 0; at < packed.length; ) at += writeSync(1, packed, at);
