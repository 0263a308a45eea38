//! What a run says about the server's process, its control group, its `/metrics`, and the machine.

pub(crate) mod machine;
pub(crate) mod metrics;
pub(crate) mod process;
pub(crate) mod server;
