//! Bytes from a terminal: they never panic, any split gives the same lines, and none of them draws on a terminal.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tutti::doors::line::check::bytes(input));
