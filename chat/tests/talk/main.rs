//! The client against a small server that is made from the protocol's page alone and shares no code with the client.

mod cli;
mod client;
mod mock;
