//! Bytes of a QUIC client's stream: they never panic, and any split gives the same frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| tutti::doors::quic::check::frames(input));
