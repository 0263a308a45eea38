//! Tutti: a real-time room server, one thread per core, many doors into the same channels.
#![deny(unsafe_code)]

pub mod cli;
pub mod config;

pub mod activation;
mod notify;
mod serve;
pub use serve::{ServeError, serve};

pub mod driver;

pub mod doors;
pub mod http;
pub mod quic;
pub mod ws;

pub mod address;
pub mod admission;
pub mod assets;
pub mod gate;
pub mod identity;

pub mod data_folder;
pub mod storage;

pub mod admin;
pub mod check;
pub mod control;
pub mod ctl;
pub mod tune;
pub mod uploads;
