//! Devices for the tests of this folder.

use super::spec::CampaignSpec;
use crate::domain::{Euicc, EuiccState, ResultPolicy};
use crate::ids::{CounterValue, Eid};
use serde_json::{Value, json};

/// The EID of a device by its number.
pub(in crate::domain::fleet) fn eid(number: u32) -> Eid {
    format!("8904903200000000{number:016}").parse().unwrap()
}

/// A device that is active and has no tags.
pub(in crate::domain::fleet) fn euicc(number: u32) -> Euicc {
    Euicc {
        eid: eid(number),
        version: 1,
        label: None,
        tags: vec![],
        result_policy: ResultPolicy::Verified,
        state: EuiccState::Active,
        counter: CounterValue::ZERO,
        association_token: None,
        eum_certificate: None,
        euicc_certificate: None,
        capabilities: None,
        last_seen_at: Some(0),
        poll_interval_ms: None,
        r_plmn: None,
        state_change_cause: None,
        profiles_stale: false,
        profiles_listed_at: None,
        profiles_verified: false,
        data_refreshed_at: None,
        list_facts: Default::default(),
        certificates_asked_at: None,
        warnings: vec![],
        created_at: 0,
        rules_authorisation_table: None,
        eim_id: None,
        signing_key: None,
        key_facts: Default::default(),
        own_association: crate::domain::OwnAssociation::default(),
    }
}

/// A campaign of all devices, with these members in place of others.
pub(super) fn spec(members: &Value) -> CampaignSpec {
    let mut value = json!({ "name": "move", "target": { "filter": { "all": true } }, "plan": { "switch": {} } });
    for (name, member) in members.as_object().unwrap() {
        value[name] = member.clone();
    }
    CampaignSpec::from_api(&value, "").unwrap()
}
