//! Any text frame is decoded without panic, and the short cut agrees with the parser.
#![no_main]

libfuzzer_sys::fuzz_target!(|payload: &[u8]| tutti::doors::mpp::check::text(payload));
