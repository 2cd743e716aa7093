//! Bytes as the journal of a write that is to be continued: read up to the first record that is not whole, never a panic.
#![no_main]

use highwater::endpoints::journal::Found;
use highwater::stage::ResumeKey;
use serde_json::Value;

/// How many checkpoints it has, and its key.
fn read(bytes: &[u8]) -> (Option<ResumeKey>, usize) {
    let mut count = 0;
    let found = Found::read(bytes, |_: Value| count += 1).expect("memory can be read");
    (found.key, count)
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (key, count) = read(data);
    assert!(key.is_some() || count == 0);
    // Each line behind a right sum, so that what is behind the sums is reached, too.
    let mut summed = Vec::new();
    for line in data.split(|byte| *byte == b'\n') {
        let sum = blake3::hash(line).to_hex();
        summed.extend([sum[..16].as_bytes(), b" ", line, b"\n"].concat());
    }
    let (key, count) = read(&summed);
    if let Some(key) = key {
        assert_eq!(key.source.change(&key.source), None);
        assert!(count < data.split(|byte| *byte == b'\n').count());
        // A record that is torn does not count, and all before it do.
        let torn = read(&summed[..summed.len() - 1]).1;
        assert!(torn <= count && torn + 1 >= count, "{torn} of {count}");
    } else {
        assert_eq!(count, 0);
    }
});
