//! What tests of downloads have beside a world: simulated SM-DP+ and SM-DS, and waiting for what happens behind the door.

use crate::device::Device;
use crate::world::World;
use eim_core::ids::Iccid;
use eim_simulator::euicc::DeviceDescription;
use eim_simulator::ipa::{DownloadMode, Es9Config};
use eim_simulator::rsp::{Order, SmdpOptions, SmdpServer, SmdsOptions, SmdsServer};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Far more than anything takes; only a failure waits so long.
const PATIENCE: Duration = Duration::from_secs(30);

/// The features of an IPA that leaves everything to the eIM.
pub const THIN_IPA: [u32; 4] = [
    DeviceDescription::INDIRECT_RSP_SERVER_COMMUNICATION,
    DeviceDescription::EIM_DOWNLOAD_DATA_HANDLING,
    DeviceDescription::EIM_CTX_PARAMS1_GENERATION,
    DeviceDescription::EIM_PROFILE_METADATA_VERIFICATION,
];

impl World {
    /// An SM-DP+ of the world's PKI at `localhost`.
    pub async fn smdp(&self) -> SmdpServer {
        self.smdp_with(SmdpOptions::default()).await
    }

    /// The same with other options.
    pub async fn smdp_with(&self, options: SmdpOptions) -> SmdpServer {
        SmdpServer::start(&self.pki, options).await.unwrap()
    }

    /// An SM-DS of the world's PKI at `localhost`.
    pub async fn smds(&self) -> SmdsServer {
        SmdsServer::start(&self.pki, SmdsOptions::default()).await.unwrap()
    }

    /// A device of the fleet with certificates on the eIM's side, whose IPA downloads this way and has these features.
    pub async fn downloading_device(&self, index: u32, mode: DownloadMode, features: &[u32]) -> Device {
        let mut device = self.device(index).await;
        device.ipa.behaviour.download = mode;
        device.ipa.behaviour.device = std::mem::take(&mut device.ipa.behaviour.device).features(features);
        let mut config = self.ipa_config();
        config.es9 = Some(Es9Config { trusted: vec![self.pki.ci_certificate().to_vec()], routes: Default::default() });
        device.ipa.reconfigure(config);
        device
    }

    /// Notifications on their way, as the operator sees them; `query` goes behind the question mark.
    pub async fn notifications(&self, query: &str) -> Vec<Value> {
        let list = self.get(&format!("/api/v1/notifications?limit=1000&{query}")).await;
        list["items"].as_array().unwrap().clone()
    }

    /// Waits until something is so that happens behind the door.
    pub async fn until(&self, what: &str, is_so: impl AsyncFn() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so().await {
            assert!(Instant::now() < end, "never came true: {what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until no notification is pending.
    pub async fn forwarded(&self) {
        self.until("every notification is forwarded", async || self.notifications("state=pending").await.is_empty())
            .await;
    }

    /// Asks for a download by activation code; gives the operation.
    pub async fn download(&self, device: &Device, code: &str, more: Value) -> String {
        let mut download = json!({ "activationCode": code });
        for (name, value) in more.as_object().into_iter().flatten() {
            download[name] = value.clone();
        }
        self.queue(&device.eid(), json!({ "profileDownload": download })).await
    }
}

/// The activation code of an order at an SM-DP+.
#[must_use]
pub fn code_of(smdp: &SmdpServer, matching_id: &str) -> String {
    format!("1${}${matching_id}", smdp.address())
}

/// An ICCID that no device has yet.
#[must_use]
pub fn new_iccid(number: u32) -> Iccid {
    format!("89882390000{number:07}1").parse().unwrap()
}

/// An order for a new profile whose notifications all go to its SM-DP+.
#[must_use]
pub fn order(smdp: &SmdpServer, matching_id: &str, number: u32) -> Order {
    Order::new(matching_id, new_iccid(number), "Downloaded").notifying(&smdp.address())
}
