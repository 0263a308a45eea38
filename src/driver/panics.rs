//! What a panic costs: one connection while its bytes are decoded, the process anywhere else.

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
};

thread_local! {
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Makes every panic that is not [`contained`] end the process, after its message is out: a shard whose invariants
/// do not hold must not go on, and the supervisor starts a fresh one.
pub(super) fn end_process_on_panic() {
    let report = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        report(info);
        if CONTAINED.get() {
            tracing::error!(panic = %info, "a peer's bytes led to a panic: please report this bug");
        } else {
            std::process::abort();
        }
    }));
}

/// Runs what decodes a peer's bytes; `None` when it panicked.
///
/// What `decode` was changing may be left half changed: the caller drops the connection that it belongs to. The codec's
/// own buffers are scratch and are overwritten by the next use.
pub(super) fn contained<T>(decode: impl FnOnce() -> T) -> Option<T> {
    CONTAINED.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(decode));
    CONTAINED.set(false);
    result.ok()
}
