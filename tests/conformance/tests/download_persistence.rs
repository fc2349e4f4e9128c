//! Downloads that are tried again: after an emergency call, and after what was noted of an earlier try (SGP.32 v1.2 3.2.3).
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs, reason = "tests fail by panicking")]

use chrono::TimeDelta;
use eim_conformance::{Device, World, code_of, modes, new_iccid, order};
use eim_simulator::euicc::DeviceDescription;
use eim_simulator::ipa::DownloadMode;
use eim_simulator::tlv::{element, integer};

const ECALL_ACTIVE: i64 = 104;

/// The trigger is fetched and answered with a profileDownloadError.
async fn refuse_trigger(world: &World, device: &mut Device, id: &str, reason: i64) {
    device.fetch().await;
    assert_eq!(world.operation(id).await["state"], "delivered");
    let transaction =
        world.operation(id).await["eimTransactionId"].as_str().map(|id| hex::decode(id).unwrap()).unwrap();
    let error = [element(0x82, &[&transaction]), element(0x30, &[&integer(0x80, reason)])];
    device.deliver(&element(0xbf54, &[&error[0], &error[1]])).await;
}

/// Nothing that a device said of an earlier try decides what becomes of a later one.
#[test]
fn an_emergency_call_that_comes_again_does_not_end_a_download() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "LATER", 7));
        let features = [DeviceDescription::DIRECT_RSP_SERVER_COMMUNICATION];
        let mut device = world.downloading_device(1, DownloadMode::Direct, &features).await;
        device.session().await;
        let id = world.download(&device, &code_of(&smdp, "LATER"), serde_json::json!({ "indirect": false })).await;
        for minutes in [2, 3, 5, 9] {
            refuse_trigger(world, &mut device, &id, ECALL_ACTIVE).await;
            let operation = world.operation(&id).await;
            assert_eq!(operation["state"], "queued", "{operation}");
            assert_eq!(operation["error"]["name"], "ecallActive", "{operation}");
            world.advance(TimeDelta::minutes(minutes)).await;
        }
        device.session().await;
        let operation = world.operation(&id).await;
        assert_eq!(operation["state"], "succeeded", "{operation}");
        assert_eq!(operation["error"], serde_json::Value::Null, "{operation}");
        let iccid = new_iccid(7).digits().unwrap();
        assert!(world.profiles(&device.eid()).await.contains(&(iccid, "disabled".to_owned())));
        smdp.stop().await;
    });
}

/// The cause shown is that of the try that ended the download, not of one before.
#[test]
fn a_later_failure_is_shown_under_its_own_name() {
    modes(async |world: &mut World| {
        let smdp = world.smdp().await;
        smdp.add_order(order(&smdp, "NEVER", 8));
        let features = [DeviceDescription::DIRECT_RSP_SERVER_COMMUNICATION];
        let mut device = world.downloading_device(2, DownloadMode::Direct, &features).await;
        device.session().await;
        let id = world.download(&device, &code_of(&smdp, "NEVER"), serde_json::json!({ "indirect": false })).await;
        refuse_trigger(world, &mut device, &id, ECALL_ACTIVE).await;
        world.advance(TimeDelta::minutes(2)).await;
        refuse_trigger(world, &mut device, &id, 127).await;
        let operation = world.operation(&id).await;
        assert_eq!(operation["state"], "failed", "{operation}");
        assert_eq!(operation["error"]["name"], "undefinedError", "{operation}");
        smdp.stop().await;
    });
}
