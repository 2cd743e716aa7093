//! Any bytes through `decompress`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| highwater_fuzz::decode("decompress", data));
