//! Any bytes into `from-csv bad=skip long=skip types=infer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| highwater_fuzz::decode("from-csv bad=skip long=skip types=infer", data));
