//! Any bytes through `unxz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| highwater_fuzz::decode("unxz", data));
