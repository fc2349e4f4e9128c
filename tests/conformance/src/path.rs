//! Everything that a device does and that time alone does, once: for tests of what they cost, and of what they run on.

use crate::{Device, THIN_IPA, World, new_iccid};
use chrono::TimeDelta;
use eim_core::{Eim, jobs};
use eim_simulator::ipa::DownloadMode;
use eim_simulator::rsp::{Order, SmdpServer};
use serde_json::json;

/// What a server does by time alone, once.
pub async fn round(eim: &Eim) {
    jobs::flush_sightings(eim).await.unwrap();
    jobs::expire_operations(eim).await.unwrap();
    jobs::drive_switches(eim).await.unwrap();
    jobs::drive_campaigns(eim).await.unwrap();
    jobs::drive_key_rotations(eim).await.unwrap();
    jobs::note_firings(eim).await.unwrap();
    jobs::look_for_silence(eim).await.unwrap();
    jobs::carry_out_rules(eim).await.unwrap();
    jobs::keep_desired_states(eim).await.unwrap();
    jobs::drive_handovers(eim).await.unwrap();
    jobs::forget_idempotency_keys(eim).await.unwrap();
    jobs::forget_old(eim).await.unwrap();
    jobs::hurry_letters(eim).await.unwrap();
    jobs::wake_webhooks(eim).await.unwrap();
    eim.look_for_missing_keys().await.unwrap();
    jobs::seal_audit(eim).await.unwrap();
}

impl World {
    /// A device that can go the way of [`Self::go_the_way`], with a known list of profiles.
    pub async fn traveller(&self, smdp: &SmdpServer, index: u32) -> Device {
        smdp.add_order(Order::new(&format!("WAY-{index}"), new_iccid(index), "Downloaded").notifying(&smdp.address()));
        let mut device = self.downloading_device(index, DownloadMode::Indirect, &THIN_IPA).await;
        self.list(&mut device).await;
        device
    }

    /// Polls with nothing to fetch, a package and its results, data, a download through the eIM with its notifications, a proven switch,
    /// and an operation on the eIMs of the eUICC; all of it must succeed.
    pub async fn go_the_way(&self, smdp: &SmdpServer, device: &mut Device, index: u32) {
        let eid = device.eid();
        // A poll with nothing to fetch, and one after a while.
        device.session().await;
        self.advance(TimeDelta::hours(1)).await;
        device.session().await;
        // A package, its delivery again, its result, and the answer to the operator.
        let id = self.queue(&eid, device.enable(2, true)).await;
        device.fetch().await;
        device.session().await;
        assert_eq!(self.operation(&id).await["state"], "succeeded");
        let id = self.queue(&eid, json!({ "euiccData": { "tags": ["81", "BF22"] } })).await;
        device.session().await;
        assert_eq!(self.operation(&id).await["state"], "succeeded");
        let id = self.queue(&eid, json!({ "eco": [{ "listEim": {} }] })).await;
        device.session().await;
        assert_eq!(self.operation(&id).await["state"], "succeeded");
        // A download through the eIM, and its notifications on their way to the SM-DP+.
        let before = smdp.notifications().len();
        let code = crate::code_of(smdp, &format!("WAY-{index}"));
        let id = self.download(device, &code, json!({ "indirect": true })).await;
        device.session().await;
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();
        assert_eq!(self.operation(&id).await["state"], "succeeded");
        self.until("the SM-DP+ has its notifications", async || smdp.notifications().len() == before + 2).await;
        // A proven switch.
        let body = json!({ "to": { "iccid": device.iccid(3) }, "waive": ["fallback"] });
        let switch = self.post(&format!("/api/v1/euiccs/{eid}/switches"), body).await;
        assert_eq!(switch.status, 202, "{}", switch.text());
        device.session().await;
        device.session().await;
        assert_eq!(self.enabled(&eid).await, [device.iccid(3)]);
        // An operation that nobody fetches in time, and one that is withdrawn.
        let id = self.queue(&eid, json!({ "psmo": [{ "getRAT": {} }] })).await;
        let reply = self.post(&format!("/api/v1/operations/{id}/cancel"), serde_json::Value::Null).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        device.session().await;
    }
}
