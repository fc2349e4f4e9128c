//! What happens by time alone: the jobs of the library, called every few seconds.

use eim_core::{Eim, jobs};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Fine enough for deadlines that count in hours, and little enough of `lastSeenAt` to lose in a crash.
const PERIOD: Duration = Duration::from_secs(2);

/// After so many rounds the keys that devices trust are counted, and keys in hardware modules looked at: every minute.
const MISSING_KEYS_EVERY: u64 = 30;

/// For how long events are gathered before webhooks are told of them.
const TOGETHER: Duration = Duration::from_millis(50);

/// The background task. Dropped, it ends after the round it is in.
pub(crate) struct Background {
    finish: watch::Sender<bool>,
    task: JoinHandle<()>,
    webhooks: JoinHandle<()>,
}

impl Background {
    /// `signs`: whether packages, and checkpoints of the audit log, are signed here: a worker has not the eIM's keys.
    pub(crate) fn start(eim: Eim, signs: bool) -> Self {
        let (finish, finished) = watch::channel(false);
        let webhooks = tokio::spawn(wake_webhooks(eim.clone(), finished.clone()));
        Self { finish, task: tokio::spawn(rounds(eim, signs, finished)), webhooks }
    }

    /// Ends between two rounds, never inside of one; with a last round when it is asked for.
    pub(crate) async fn stop(self, last_round: bool) {
        let Self { finish, task, webhooks } = self;
        if last_round {
            // A task that is gone already has no last round.
            let _ = finish.send(true);
        }
        drop(finish);
        for task in [task, webhooks] {
            if let Err(error) = task.await {
                tracing::error!(%error, "a background task was cut off");
            }
        }
    }
}

async fn rounds(eim: Eim, signs: bool, mut finished: watch::Receiver<bool>) {
    let mut round = 0;
    loop {
        let finish = tokio::select! {
            changed = finished.changed() => Some(changed.is_ok()),
            () = tokio::time::sleep(PERIOD) => None,
        };
        match finish {
            Some(false) => return,
            Some(true) => {
                flush_sightings(&eim).await;
                if signs && let Err(error) = jobs::close_audit(&eim).await {
                    tracing::error!(%error, "the audit log could not be closed");
                }
                return;
            }
            None => {
                flush_sightings(&eim).await;
                expire_operations(&eim).await;
                drive_switches(&eim).await;
                drive_campaigns(&eim).await;
                drive_key_rotations(&eim).await;
                drive_rules(&eim).await;
                keep_desired_states(&eim).await;
                if signs {
                    // They name this eIM, by which a worker is not known.
                    drive_handovers(&eim).await;
                }
                forget_idempotency_keys(&eim).await;
                forget_old(&eim).await;
                hurry_letters(&eim).await;
                if signs {
                    look_for_missing_keys(&eim, &mut round).await;
                    if let Err(error) = jobs::seal_audit(&eim).await {
                        tracing::error!(%error, "the audit log could not be linked");
                    }
                }
            }
        }
    }
}

/// Wakes webhooks soon after events were written here, and now and then for those that others wrote.
async fn wake_webhooks(eim: Eim, mut finished: watch::Receiver<bool>) {
    let mut written = eim.store().events_written();
    loop {
        tokio::select! {
            _ = finished.changed() => return,
            changed = written.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(PERIOD) => {}
        }
        // Many commits are looked at together.
        tokio::time::sleep(TOGETHER).await;
        written.mark_unchanged();
        if let Err(error) = jobs::wake_webhooks(&eim).await {
            tracing::error!(%error, "webhooks could not be told of events");
        }
    }
}

async fn forget_idempotency_keys(eim: &Eim) {
    if let Err(error) = jobs::forget_idempotency_keys(eim).await {
        tracing::error!(%error, "old idempotency keys could not be forgotten");
    }
}

async fn drive_switches(eim: &Eim) {
    // Some hundreds at once, as above; what can't be decided is looked at again in the next round.
    for _ in 0..50 {
        match jobs::drive_switches(eim).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "switches could not be looked at");
                break;
            }
        }
    }
}

async fn drive_campaigns(eim: &Eim) {
    if let Err(error) = jobs::drive_campaigns(eim).await {
        tracing::error!(%error, "campaigns could not be looked at");
    }
}

async fn drive_key_rotations(eim: &Eim) {
    if let Err(error) = jobs::drive_key_rotations(eim).await {
        tracing::error!(%error, "key rotations could not be looked at");
    }
}

/// Looks now and then whether devices trust keys that are not loaded, as other servers register devices, too, and whether those that
/// are loaded are there.
async fn look_for_missing_keys(eim: &Eim, round: &mut u64) {
    if round.is_multiple_of(MISSING_KEYS_EVERY) {
        if let Err(error) = eim.look_for_missing_keys().await {
            tracing::error!(%error, "the keys that devices trust could not be looked at");
        }
        eim.look_for_keys_away().await;
    }
    *round = round.wrapping_add(1);
}

async fn drive_rules(eim: &Eim) {
    if let Err(error) = jobs::note_firings(eim).await {
        tracing::error!(%error, "events could not be looked at for rules");
    }
    if let Err(error) = jobs::look_for_silence(eim).await {
        tracing::error!(%error, "silent devices could not be looked for");
    }
    if let Err(error) = jobs::carry_out_rules(eim).await {
        tracing::error!(%error, "what rules ask for could not be carried out");
    }
}

async fn keep_desired_states(eim: &Eim) {
    // Some hundreds at once; the rest has its turn in the next round.
    for _ in 0..20 {
        match jobs::keep_desired_states(eim).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "devices could not be compared with their desired states");
                break;
            }
        }
    }
}

async fn drive_handovers(eim: &Eim) {
    // Some hundreds at once; the rest has its turn in the next round.
    for _ in 0..20 {
        match jobs::drive_handovers(eim).await {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => {
                tracing::error!(%error, "hand-overs could not be looked at");
                break;
            }
        }
    }
}

async fn hurry_letters(eim: &Eim) {
    if let Err(error) = jobs::hurry_letters(eim).await {
        tracing::error!(%error, "tests and dead letters of webhooks could not be hurried");
    }
}

async fn forget_old(eim: &Eim) {
    if let Err(error) = jobs::forget_old(eim).await {
        tracing::error!(%error, "old sessions and notifications could not be forgotten");
    }
}

async fn flush_sightings(eim: &Eim) {
    if let Err(error) = jobs::flush_sightings(eim).await {
        tracing::error!(%error, "the times when devices were seen could not be written");
    }
}

async fn expire_operations(eim: &Eim) {
    let mut expired = 0;
    // Some hundreds are ended at once; after a long stop there may be many more.
    loop {
        match jobs::expire_operations(eim).await {
            Ok(0) => break,
            Ok(some) => expired += some,
            Err(error) => {
                tracing::error!(%error, "operations could not be expired");
                break;
            }
        }
    }
    if expired > 0 {
        tracing::info!(expired, "operations have expired");
    }
}
