//! A device that goes on whatever happens to the eIM: it tries again, and forgets only what was acknowledged.

use crate::plan::{Habits, Rng};
use crate::servers::SMDP;
use eim_simulator::euicc::{DeviceDescription, Euicc};
use eim_simulator::ipa::{Binding, DownloadMode, Es9Config, Ipa, IpaConfig, PollOptions};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// How long an exchange may take.
const EXCHANGE: Duration = Duration::from_secs(15);

/// ICCIDs, and whether the profile is enabled.
pub type Profiles = BTreeMap<String, bool>;

/// The profiles of an eUICC.
#[must_use]
pub fn profiles(euicc: &Euicc) -> Profiles {
    euicc.profiles().iter().map(|found| (found.iccid.to_string(), found.enabled)).collect()
}

/// A device of a run.
#[derive(Debug)]
pub struct Device {
    /// Its eUICC, which keeps its history.
    pub euicc: Euicc,
    /// Exchanges that broke off.
    pub cut_off: usize,
    /// Whether it downloads by itself.
    pub direct: bool,
    /// The profiles that it had at any time, with whether they were enabled.
    pub states: BTreeSet<Profiles>,
    /// Why its downloads failed, as it saw that.
    pub failed_downloads: Vec<String>,
    ipa: Ipa,
    rng: Rng,
}

impl Device {
    /// A device with these habits. `config` leads to the wire, The SM-DP+ has this CI, and is there.
    #[must_use]
    pub fn new(euicc: Euicc, habits: &Habits, config: &IpaConfig, (ci, smdp): (&[u8], SocketAddr), seed: u64) -> Self {
        let mut config = config.clone().binding(if habits.json { Binding::Json } else { Binding::Asn1 });
        config.timeout = EXCHANGE;
        config.es9 = Some(Es9Config { trusted: vec![ci.to_vec()], routes: HashMap::from([(SMDP.to_owned(), smdp)]) });
        let mut ipa = Ipa::new(config);
        ipa.behaviour.with_notifications = habits.with_notifications;
        ipa.behaviour.connectivity_lost = habits.loses_network;
        ipa.behaviour.download_options.pir_in_result = habits.result_in_trigger;
        ipa.behaviour.download_options.waits_for_eim = true;
        let (mode, features) = if habits.direct {
            (DownloadMode::Direct, vec![DeviceDescription::DIRECT_RSP_SERVER_COMMUNICATION])
        } else {
            let indirect = vec![
                DeviceDescription::INDIRECT_RSP_SERVER_COMMUNICATION,
                DeviceDescription::EIM_DOWNLOAD_DATA_HANDLING,
                DeviceDescription::EIM_CTX_PARAMS1_GENERATION,
                DeviceDescription::EIM_PROFILE_METADATA_VERIFICATION,
            ];
            (DownloadMode::Indirect, indirect)
        };
        ipa.behaviour.download = mode;
        ipa.behaviour.device = std::mem::take(&mut ipa.behaviour.device).features(&features);
        let states = BTreeSet::from([profiles(&euicc)]);
        Self {
            euicc: euicc.recording(),
            cut_off: 0,
            failed_downloads: vec![],
            direct: habits.direct,
            states,
            ipa,
            rng: Rng::new(seed),
        }
    }

    /// Polls until it is told to stop. `is_quiet` says whether it has nothing to bring and was last told that there is nothing for it.
    pub async fn work(mut self, is_quiet: Arc<AtomicBool>, stop: watch::Receiver<bool>) -> Self {
        while !*stop.borrow() {
            let is_idle = self.round().await;
            let quiet = is_idle == Some(true) && !self.ipa.has_undelivered() && self.euicc.notifications().is_empty();
            is_quiet.store(quiet, Ordering::SeqCst);
            let rest = match is_idle {
                // There may be more.
                Some(false) => 0,
                Some(true) => 20 + self.rng.below(40),
                None => {
                    self.cut_off += 1;
                    10 + self.rng.below(40)
                }
            };
            if rest > 0 {
                // The next round may come to another front.
                self.ipa.disconnect();
                tokio::time::sleep(Duration::from_millis(rest)).await;
            }
        }
        self
    }

    /// One poll with what belongs to it. Says whether the eIM had nothing, or none when something broke off.
    async fn round(&mut self) -> Option<bool> {
        let polled = match self.ipa.deliver_undelivered(&mut self.euicc).await {
            Ok(_) => self.ipa.poll_once(&mut self.euicc, &PollOptions::default()).await,
            Err(error) => Err(error),
        };
        self.states.insert(profiles(&self.euicc));
        if let Some((step, error)) = self.ipa.last_download().and_then(|outcome| outcome.error.as_ref()) {
            let failed = format!("{step:?}: {error:?}");
            if self.failed_downloads.last() != Some(&failed) {
                self.failed_downloads.push(failed);
            }
        }
        if !self.euicc.notifications().is_empty() {
            self.ipa.deliver_notifications(&mut self.euicc).await.ok()?;
        }
        polled.ok().map(|outcome| outcome.is_idle())
    }
}
