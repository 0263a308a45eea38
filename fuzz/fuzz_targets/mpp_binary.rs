//! Any binary frame is decoded without panic, whole or not at all.
#![no_main]

libfuzzer_sys::fuzz_target!(|payload: &[u8]| tutti::doors::mpp::check::binary(payload));
