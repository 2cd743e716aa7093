//! Any bytes into `from-json bad=skip long=skip`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| highwater_fuzz::decode("from-json bad=skip long=skip", data));
