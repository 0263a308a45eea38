//! The command `tutti-loadgen`.

fn main() {}
