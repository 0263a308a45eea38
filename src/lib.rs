//! Tutti: a real-time room server, one thread per core, many doors into the same channels.
#![deny(unsafe_code)]

pub mod config;

pub mod address;
pub mod admission;
pub mod check;
pub mod identity;
