//! Threads that own the connections: callers hand them transactions and wait without blocking.

use super::StoreError;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::oneshot;

/// How many transactions may wait for a pool before new ones are refused.
const WAITING: usize = 4096;

/// Tells a caller what became of its transaction; the argument is why the commit failed, where it did.
pub(super) type Reply = Box<dyn FnOnce(Option<&str>)>;
/// A transaction, boxed; gives the reply to send once it is committed.
pub(super) type Job<C> = Box<dyn FnOnce(&mut C) -> Option<Reply> + Send>;
/// How a thread runs a job; the last argument gives the next one that waits already.
pub(super) type Run<C> = fn(&mut C, Job<C>, &mut dyn FnMut() -> Option<Job<C>>);

/// What a thread is handed.
enum Order<C> {
    Transaction(Job<C>),
    /// Runs outside of any group or transaction, for migrations.
    Alone(Box<dyn FnOnce(&mut C) + Send>),
}

/// A few threads with a connection each, fed from one queue. They end when the pool is dropped.
pub(super) struct Pool<C> {
    orders: SyncSender<Order<C>>,
}

impl<C: Send + 'static> Pool<C> {
    pub(super) fn start(name: &str, connections: Vec<C>, run: Run<C>) -> Result<Self, StoreError> {
        let (orders, queue) = sync_channel(WAITING);
        let queue = Arc::new(Mutex::new(queue));
        for conn in connections {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || work(conn, &queue, run))
                .map_err(|error| StoreError::Open(error.to_string()))?;
        }
        Ok(Self { orders })
    }

    pub(super) async fn run<T: Send + 'static>(
        &self,
        name: &'static str,
        body: impl FnOnce(&mut C) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        let job: Job<C> = Box::new(move |conn| {
            let done = body(conn).map_err(|error| named(error, name));
            Some(Box::new(move |failure| {
                let done = match failure {
                    Some(cause) => Err(StoreError::Open(format!("the commit of {name} failed: {cause}"))),
                    None => done,
                };
                // The caller may have gone away; the transaction is committed all the same.
                let _ = tell.send(done);
            }))
        });
        self.send(Order::Transaction(job))?;
        told.await.map_err(|_| StoreError::Closed)?
    }

    pub(super) async fn run_alone<T: Send + 'static>(
        &self,
        body: impl FnOnce(&mut C) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (tell, told) = oneshot::channel();
        self.send(Order::Alone(Box::new(move |conn| {
            let _ = tell.send(body(conn));
        })))?;
        told.await.map_err(|_| StoreError::Closed)?
    }

    fn send(&self, order: Order<C>) -> Result<(), StoreError> {
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Overloaded,
            TrySendError::Disconnected(_) => StoreError::Closed,
        })
    }
}

/// A thread that panics would leave its callers waiting and its work undone: the process ends instead, as in a crash, and
/// whoever supervises it starts it again.
struct EndsWithItsThread;

impl Drop for EndsWithItsThread {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

fn work<C>(mut conn: C, queue: &Mutex<Receiver<Order<C>>>, run: Run<C>) {
    let _guard = EndsWithItsThread;
    loop {
        let order = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let mut alone = None;
        match order {
            Ok(Order::Transaction(job)) => run(&mut conn, job, &mut || {
                if alone.is_some() {
                    return None;
                }
                // Somebody else holds the queue while waiting on it, so a busy lock means that nothing waits.
                match queue.try_lock().ok()?.try_recv().ok()? {
                    Order::Transaction(job) => Some(job),
                    Order::Alone(body) => {
                        alone = Some(body);
                        None
                    }
                }
            }),
            Ok(Order::Alone(body)) => alone = Some(body),
            Err(_) => return,
        }
        if let Some(body) = alone {
            body(&mut conn);
        }
    }
}

fn named(error: StoreError, name: &'static str) -> StoreError {
    match error {
        StoreError::Transaction { name: "", source } => StoreError::Transaction { name, source },
        other => other,
    }
}
