//! Doors: each turns the bytes of one wire protocol into the core's commands, and its events into bytes.
//!
//! A door knows no sockets and keeps no rule of the rooms; it checks what a single message can be checked for.

pub mod mpp;
