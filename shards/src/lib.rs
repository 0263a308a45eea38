//! The sharded core of Tutti: a deterministic state machine without I/O.
#![forbid(unsafe_code)]
