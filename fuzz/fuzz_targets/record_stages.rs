//! Each stage that takes records: the second byte says which. Records that are none are dropped before it.
#![no_main]

use highwater_fuzz::records;

const LINES: [&str; 7] = [
    "grep 'a.*b'",
    "grep ^a$ invert=true",
    "grep a fixed=true",
    "redact email ipv4 ipv6 card phone",
    "redact a* with=bb",
    "take records=2",
    "skip records=2",
];

const JSON: [&str; 16] = [
    "where 'a == b'",
    "where 'a.b >= 1'",
    "where 'a ~ b+'",
    "select a b.a",
    "drop a b.a",
    "upper a",
    "lower b.a",
    "grep b field=a",
    "redact email ipv4 ipv6 card phone",
    "redact b with=aaaa field=a",
    "to-json",
    "to-json array=true",
    "to-csv bad=skip",
    "to-csv columns=a,b bad=skip",
    "skip records=2",
    "to-sse bad=skip",
];

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let [piece, which, rest @ ..] = data else { return };
    let data = [&[*piece], rest].concat();
    let which = usize::from(*which) % (LINES.len() + JSON.len());
    match LINES.get(which) {
        Some(stage) => records(&["lines long=skip", stage], &data),
        None => records(&["from-json long=skip bad=skip", JSON[which - LINES.len()]], &data),
    }
});
