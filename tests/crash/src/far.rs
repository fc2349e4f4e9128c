//! The way between servers and SM-DP+, where the plan has accidents, too.

use crate::line::{Line, Verdict};
use crate::plan::{FarAccident, Plan};
use crate::servers::{Servers, lock};
use eim_simulator::rsp::SmdpServer;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// How long a server is gone that is killed from here.
const REST: Duration = Duration::from_millis(20);

/// The way, for one run.
#[derive(Debug)]
pub struct Far {
    /// Where servers find the SM-DP+.
    pub line: Line,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    servers: Mutex<Weak<Servers>>,
    accidents: Mutex<BTreeMap<u64, FarAccident>>,
    portions: AtomicU64,
    happened: AtomicUsize,
}

impl Far {
    /// Opens it.
    ///
    /// # Errors
    /// When there is no port.
    pub async fn open(smdp: &SmdpServer, plan: &Plan) -> anyhow::Result<Self> {
        let state = Arc::new(State { accidents: Mutex::new(plan.far.clone()), ..State::default() });
        let looking = Arc::clone(&state);
        Ok(Self { line: Line::open(smdp.socket(), Arc::new(move || looking.look())).await?, state })
    }

    /// Says whose servers are killed.
    pub fn belongs_to(&self, servers: &Arc<Servers>) {
        *lock(&self.state.servers) = Arc::downgrade(servers);
    }

    /// From now on everything passes: a run that has settled is looked at undisturbed.
    pub fn calm(&self) {
        lock(&self.state.accidents).clear();
    }

    /// How many accidents there were.
    #[must_use]
    pub fn happened(&self) -> usize {
        self.state.happened.load(Ordering::SeqCst)
    }
}

impl State {
    fn look(&self) -> Verdict {
        let number = self.portions.fetch_add(1, Ordering::SeqCst) + 1;
        let Some(accident) = lock(&self.accidents).remove(&number) else { return Verdict::Pass };
        self.happened.fetch_add(1, Ordering::SeqCst);
        let servers = lock(&self.servers).upgrade();
        let kill = |server| servers.as_ref().is_some_and(|servers| servers.kill(server, REST));
        match accident {
            FarAccident::Cut => Verdict::Cut,
            FarAccident::KillBefore { server } => {
                kill(server);
                Verdict::Cut
            }
            FarAccident::KillAfter { server } => {
                let servers = servers.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_micros(300)).await;
                    servers.is_some_and(|servers| servers.kill(server, REST))
                });
                Verdict::Pass
            }
        }
    }
}
