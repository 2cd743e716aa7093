//! Any text as a pipeline: it is read or refused, never a panic, and what was read survives being written again.
#![no_main]

use highwater::grammar::{from_words, parse, quote};

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let (script, problems) = parse(data);
    for problem in &problems {
        let _ = format!("{problem:?}");
    }
    if problems.is_empty() {
        for call in &script.calls {
            let written = call.normalised();
            let (again, problems) = parse(&written);
            assert!(problems.is_empty(), "{written:?}: {problems:?}");
            let calls: Vec<_> = again.calls.iter().map(|call| call.normalised()).collect();
            assert_eq!(calls, [written]);
        }
    }
    // Any word survives being quoted.
    let word = data.iter().copied().filter(|byte| *byte != 0).collect::<Vec<u8>>();
    if !word.is_empty() {
        let quoted = [&b"read "[..], &quote(&word)].concat();
        let (script, problems) = parse(&quoted);
        assert!(
            problems.is_empty() && script.calls.len() == 1,
            "{quoted:?}: {problems:?}"
        );
    }
    // The shell's own words.
    use std::os::unix::ffi::OsStringExt;
    let words: Vec<_> = data
        .split(|byte| *byte == 0)
        .map(|word| std::ffi::OsString::from_vec(word.to_vec()))
        .collect();
    let _ = from_words(&words);
});
