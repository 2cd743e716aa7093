//! Any bytes as a JSON record that was not checked: what reads records in place neither panics nor reads beyond them.
#![no_main]

use highwater::records::json::Path;
use highwater::records::{Condition, CsvWriter, Fields, Record, Redaction, TextBuffers, TextChange};

libfuzzer_sys::fuzz_target!(|record: &[u8]| {
    let paths = ["a", "b.c", r"d\.e"].map(|path| Path::parse(path.as_bytes()).expect("a path"));
    for condition in ["a == 1", "b.c > x", "a ~ b"] {
        let _ = Condition::parse(condition).expect("a condition").is_met(record);
    }
    let fields = Fields::new(&paths);
    let mut made = Record::new(1 << 10);
    fields.select(record, &mut made);
    made.clear();
    let _ = fields.remove(record, &mut made);
    made.clear();
    let _ = CsvWriter::new(b',', None).write(record, &mut Vec::new());
    let mut redaction = Redaction::new(b"x");
    for name in Redaction::names() {
        redaction.add(name).expect("a pattern");
    }
    let mut buffers = TextBuffers::new(1 << 10);
    let mut texts = TextChange::new(record, &mut made, &mut buffers);
    texts.all_texts(|text, made| redaction.apply(text, made));
    let _ = texts.finish();
});
