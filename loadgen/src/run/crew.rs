//! The threads of load: started, told, heard.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use glommio::{ExecutorJoinHandle, LocalExecutorBuilder, Placement};

use super::Setup;
use crate::net::clock::Clock;
use crate::scenario::Scenario;
use crate::worker::{News, Order, Shared, Start, Worker};

/// Bytes of registered buffers of each executor. They are for files, of which none are read.
const IO_MEMORY: usize = 64 << 10;

/// All threads of a run.
pub(super) struct Crew {
    /// Counters that all may look at.
    pub(super) shared: Arc<Shared>,
    /// The clock of the run.
    pub(super) clock: Clock,
    orders: Vec<Sender<Order>>,
    news: Receiver<News>,
    threads: Vec<ExecutorJoinHandle<()>>,
}

/// Tells when a thread ends by a panic, because its news would be waited for in vain.
struct Alarm(Sender<News>);

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.send(News::Failed("a thread of load has panicked".to_owned()));
        }
    }
}

impl Crew {
    /// Starts a pinned thread on each of `cpus`.
    ///
    /// # Errors
    /// When an executor cannot be made, which mostly means that io_uring is refused.
    pub(super) fn start(setup: &Setup, scenario: &Arc<Scenario>, cpus: &[usize]) -> Result<Self> {
        let clock = Clock::new();
        let shared = Arc::new(Shared::new(cpus.len(), setup.interrupt.clone()));
        let (tell, news) = channel();
        let endpoint = Arc::new(setup.endpoint.clone());
        let run = clock.now_us() / 1000 % 36_u64.pow(6);
        let prefix = format!("{}-{run:x}", setup.prefix);
        let mut crew =
            Self { shared: shared.clone(), clock, orders: Vec::new(), news, threads: Vec::new() };
        for (number, &cpu) in cpus.iter().enumerate() {
            let (order, orders) = channel();
            let start = Start {
                number,
                threads: cpus.len(),
                clock,
                endpoint: endpoint.clone(),
                scenario: scenario.clone(),
                run,
                prefix: prefix.clone(),
                shared: shared.clone(),
                orders,
                news: tell.clone(),
            };
            let tell = tell.clone();
            let thread = LocalExecutorBuilder::new(Placement::Fixed(cpu))
                .name(&format!("load-{number}"))
                .io_memory(IO_MEMORY)
                .spawn(move || async move {
                    let _alarm = Alarm(tell.clone());
                    match Worker::new(start) {
                        Ok(worker) => worker.run(),
                        Err(error) => drop(tell.send(News::Failed(format!("{error:#}")))),
                    }
                })
                .with_context(|| {
                    format!(
                        "cannot start a thread on CPU {cpu}; is it there (--cpus), and is io_uring allowed \
                         (kernel.io_uring_disabled, seccomp, ulimit -l)?"
                    )
                })?;
            crew.orders.push(order);
            crew.threads.push(thread);
        }
        Ok(crew)
    }

    /// How many threads there are.
    pub(super) fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Tells every thread the same.
    pub(super) fn order_all(&self, order: impl Fn() -> Order) {
        for to in &self.orders {
            // One that has ended has told so, and why.
            let _ = to.send(order());
        }
    }

    /// The next news, or `None` when there is none for a while.
    ///
    /// # Errors
    /// When a thread cannot go on.
    pub(super) fn news(&self, patience: Duration) -> Result<Option<News>> {
        match self.news.recv_timeout(patience) {
            Ok(News::Failed(why)) => bail!("{why}"),
            Ok(news) => Ok(Some(news)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("a thread of load has ended"),
        }
    }

    /// Whether the run is to end now.
    pub(super) fn is_interrupted(&self) -> bool {
        self.shared.is_interrupted()
    }

    /// Ends the threads and waits for them.
    pub(super) fn end(&mut self) {
        self.order_all(|| Order::End);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
