//! Profile downloads through the front door: direct, indirect and by SM-DS, on both modes (SGP.32 v1.2 3.2.3, 3.9).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests fail by panicking")]

use eim_conformance::{THIN_IPA, World, code_of, modes, new_iccid, order};
use eim_simulator::ipa::{DownloadMode, DownloadStep};
use eim_simulator::rsp::OrderState;
use serde_json::json;

/// CT-ES9IA-01, CT-ES9AC-01, CT-ES9BPP-01, CT-ES9HN-01.
#[test]
fn an_indirect_download_installs_the_profile_and_brings_its_notifications_home() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "INDIRECT", 1));
        let mut device = world.downloading_device(1, DownloadMode::Indirect, &THIN_IPA).await;
        let id = world.download(&device, &code_of(&smdp, "INDIRECT"), json!({ "indirect": true })).await;
        device.session().await;
        let outcome = device.ipa.last_download().unwrap();
        assert_eq!(outcome.error, None, "{outcome:?}");
        assert!(outcome.steps.contains(&DownloadStep::Install));
        device.ipa.deliver_notifications(&mut device.euicc).await.unwrap();

        let operation = world.operation(&id).await;
        assert_eq!(operation["state"], "succeeded", "{operation}");
        assert_eq!(operation["verified"], true);
        let iccid = new_iccid(1).digits().unwrap();
        assert_eq!(operation["results"][0]["value"]["iccid"], iccid);
        assert!(world.profiles(&device.eid()).await.contains(&(iccid, "disabled".to_owned())));
        world.forwarded().await;
        assert_eq!(smdp.order_state("INDIRECT"), Some(OrderState::Installed));
        assert_eq!(smdp.notifications().len(), 2, "the result and the notification of the installation");
        smdp.stop().await;
    });
}
