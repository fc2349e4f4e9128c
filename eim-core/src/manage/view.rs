//! From what is stored to what is shown.

use super::views::{AssociationView, EuiccView, OperationView, ProfileView};
use crate::Eim;
use crate::domain::{Euicc, Operation, Profile, codes, interpret, rfc3339};
use crate::ids::{AssociationToken, CounterValue};
use crate::pki;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

pub(super) fn euicc(euicc: Euicc, held_results: i64, eim: &Eim) -> EuiccView {
    let next_poll = euicc.last_seen_at.zip(euicc.poll_interval_ms).map(|(last, interval)| rfc3339(last + interval));
    let mut warnings = euicc.warnings.clone();
    if euicc.counter >= CounterValue::WARN_FROM {
        warnings.push("the counter is nearly used up: the association has to be renewed".to_owned());
    }
    EuiccView {
        certificates_trusted: trusted(&euicc, eim),
        eid: euicc.eid.to_string(),
        label: euicc.label,
        tags: euicc.tags,
        result_policy: euicc.result_policy.as_str().to_owned(),
        state: euicc.state.as_str().to_owned(),
        association: AssociationView {
            eim_id: eim.identity().eim_id.to_string(),
            counter_value: euicc.counter.value(),
            association_token: euicc.association_token.map(AssociationToken::value),
        },
        euicc_certificate: euicc.euicc_certificate.map(|der| STANDARD.encode(der)),
        eum_certificate: euicc.eum_certificate.map(|der| STANDARD.encode(der)),
        capabilities: euicc.capabilities,
        last_seen_at: euicc.last_seen_at.map(rfc3339),
        next_poll_expected_at: next_poll,
        r_plmn: euicc.r_plmn.map(|plmn| plmn.to_string()),
        last_state_change_cause: euicc.state_change_cause.map(codes::state_change_cause),
        profiles_stale: euicc.profiles_stale,
        held_results,
        warnings,
        rules_authorisation_table: euicc.rules_authorisation_table,
        created_at: rfc3339(euicc.created_at),
    }
}

/// Whether the stored certificates chain to a trusted CI now.
pub(super) fn trusted(euicc: &Euicc, eim: &Eim) -> bool {
    euicc.eum_certificate.as_deref().zip(euicc.euicc_certificate.as_deref()).is_some_and(|(eum, certificate)| {
        pki::verify_euicc_chain(eim.trust(), eum, certificate, eim.clock().now(), &euicc.eid).is_ok()
    })
}

pub(super) fn profile(profile: Profile) -> ProfileView {
    ProfileView {
        iccid: profile.iccid.digits(),
        raw_iccid: profile.iccid.raw_hex(),
        state: profile.enabled.map(|enabled| if enabled { "enabled" } else { "disabled" }.to_owned()),
        profile_class: profile.profile_class.map(interpret::class_name),
        name: profile.name,
        service_provider: profile.service_provider,
        fallback: profile.fallback,
        aid: profile.aid.map(hex::encode_upper),
        verified: profile.verified,
        updated_at: rfc3339(profile.updated_at),
    }
}

pub(super) fn operation(operation: Operation) -> OperationView {
    OperationView {
        id: operation.id.to_string(),
        eid: operation.eid.to_string(),
        kind: operation.kind.as_str().to_owned(),
        origin: operation.origin.as_str().to_owned(),
        purpose: operation.purpose.map(|purpose| purpose.as_str().to_owned()),
        request: operation.request,
        state: operation.state.as_str().to_owned(),
        counter_value: operation.counter.map(CounterValue::value),
        eim_transaction_id: operation.eim_transaction_id.map(|transaction| transaction.to_string()),
        attempts: operation.attempts,
        verified: operation.verified,
        results: operation.results,
        error: operation.error,
        refusals: operation.refusals,
        late_result: operation.late_result,
        created_at: rfc3339(operation.created_at),
        delivered_at: operation.delivered_at.map(rfc3339),
        completed_at: operation.completed_at.map(rfc3339),
        not_before: operation.not_before.map(rfc3339),
        valid_until: operation.valid_until.map(rfc3339),
        label: operation.label,
    }
}
