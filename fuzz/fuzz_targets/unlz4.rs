//! Any bytes through `unlz4`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| highwater_fuzz::decode("unlz4", data));
