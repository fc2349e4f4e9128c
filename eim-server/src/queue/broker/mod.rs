//! The pipeline over RabbitMQ: fronts publish calls and due rows, workers make the calls and run the rows.
//!
//! The broker may restart and connections may break at any time: [`Keeper`] connects anew, each time with the whole
//! topology, and everyone begins again on the new [`Link`]. What was not acknowledged comes again.

mod calls;
mod keeper;
mod link;
mod message;
mod relay;
mod topology;
mod worker;

pub(super) use keeper::Keeper;
pub use topology::remove;

use super::running::{Flag, Running, Tasks, UnderWay};
use super::{JobSource, QueueOptions, Roles};
use anyhow::Context;
use calls::Published;
use eim_core::ports::RspTransport;
use link::Connector;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use topology::Topology;
use worker::Work;

/// The pipeline of many processes.
pub struct Broker {
    keeper: Arc<Keeper>,
    transport: Arc<Published>,
    topology: Topology,
    options: QueueOptions,
    roles: Roles,
    is_serving: AtomicBool,
    stop: Flag,
    tasks: Tasks,
}

impl Broker {
    /// Connects and declares the topology. Later on it survives that the broker goes away.
    ///
    /// # Errors
    /// When the URL is none, the prefix can't be part of a name, the broker can't be reached, or it refuses a queue. The
    /// password is not in the text.
    pub async fn connect(url: &str, options: QueueOptions, roles: Roles) -> anyhow::Result<Self> {
        let topology = Topology::new(&options.prefix, options.delivery_limit)?;
        let connector = Connector::new(url, topology.clone(), roles.front)?;
        let keeper = Arc::new(Keeper::start(connector).await?);
        let (stop, tasks) = (Flag::new(), Tasks::default());
        let end = (stop.clone(), tasks.clone());
        let transport = Arc::new(Published::new(keeper.clone(), topology.clone(), &options, roles.front, end));
        let is_serving = AtomicBool::new(false);
        Ok(Self { keeper, transport, topology, options, roles, is_serving, stop, tasks })
    }

    /// What carries calls out: a worker somewhere. Without the role of a front there is none.
    #[must_use]
    pub fn transport(&self) -> Arc<dyn RspTransport> {
        self.transport.clone()
    }

    /// Begins to work: a worker makes calls with `outbound` and runs jobs; every role with `jobs` publishes its due rows.
    /// `kinds` are all kinds of jobs there are.
    ///
    /// # Errors
    /// When the broker refuses the queues, a kind can't be part of a name, or work has begun already.
    pub async fn serve(
        &self,
        outbound: Option<Arc<dyn RspTransport>>,
        jobs: Option<Arc<dyn JobSource>>,
        kinds: &[&str],
    ) -> anyhow::Result<Running> {
        for kind in kinds {
            anyhow::ensure!(
                topology::is_word(kind),
                "a kind of jobs must be 1 to 64 letters, digits, '-', '_' or dots"
            );
        }
        anyhow::ensure!(!self.is_serving.swap(true, Ordering::SeqCst), "this pipeline is at work already");
        let (stop, tasks, rows) = (self.stop.clone(), self.tasks.clone(), jobs.clone());
        let work = Work {
            keeper: Arc::downgrade(&self.keeper),
            topology: self.topology.clone(),
            outbound: outbound.filter(|_| self.roles.worker),
            jobs,
            kinds: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            is_worker: self.roles.worker,
            options: self.options.clone(),
            under_way: UnderWay::default(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        let (ready, is_ready) = tokio::sync::oneshot::channel();
        let running = Running {
            stop,
            main: Some(tokio::spawn(Arc::new(work).sessions(ready))),
            tasks,
            patience: self.options.call_timeout,
            keeper: Some(self.keeper.clone()),
            jobs: rows,
        };
        is_ready
            .await
            .context("the pipeline ended before it began")?
            .context("the broker refused to let work begin")?;
        Ok(running)
    }

    /// Whether the broker is there now, for readiness.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.keeper.current().is_some()
    }
}
