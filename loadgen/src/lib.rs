//! An open-loop load generator for any Multiplayer Piano server.
//!
//! It shares no code with the server that it measures. The order in which to read it: [`result`] is
//! what a run leaves behind, and everything that shows, compares or judges runs works on that alone.

pub mod result;
mod slice;

pub mod units;

pub mod histogram;

pub mod conditions;

pub mod join;

pub mod compare;

pub mod facts;

pub mod table;

pub mod plots;

pub mod html;

#[cfg(test)]
mod sample;
