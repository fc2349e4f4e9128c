//! What verified results say of other eIMs.

use super::own::lost;
use super::{AssociationState, LearnedBy, OtherEim};
use crate::asn1::{AddEimResult, Eco, EimConfigurationData, EuiccResultData, ListEimResult};
use crate::domain::interpret::storable;
use crate::domain::work::Work;
use crate::ids::OperationId;
use serde_json::json;

/// How many other eIMs are kept of one eUICC, with those that are gone; a real one has room for a few.
const OTHERS_MAX: usize = 64;

/// Notes what a verified result of an eIM configuration operation says about another eIM, or about all.
pub(in crate::domain) fn configured(work: &mut Work, id: Option<OperationId>, eco: &Eco, entry: &EuiccResultData) {
    match (eco, entry) {
        (Eco::AddEim(data), EuiccResultData::AddEimResult(result)) => added(work, id, data, result),
        (Eco::UpdateEim(data), EuiccResultData::UpdateEimResult(code)) => {
            let eim_id = &storable(&data.eim_id);
            match code {
                0 if !is_own(work, eim_id) => put(work, id, eim_id, LearnedBy::UpdateEim, |eim| eim.configure(data)),
                1 => gone(work, id, eim_id),
                _ => {}
            }
        }
        (Eco::DeleteEim(delete), EuiccResultData::DeleteEimResult(code)) => match code {
            0 | 1 => gone(work, id, &storable(&delete.eim_id)),
            // lastEimDeleted: none is left, whatever was known of others.
            2 => {
                let all: Vec<String> = work.state.other_eims.iter().map(|eim| eim.eim_id.clone()).collect();
                all.iter().for_each(|eim_id| gone(work, id, eim_id));
            }
            _ => {}
        },
        (Eco::ListEim(_), EuiccResultData::ListEimResult(ListEimResult::EimIdList(listed))) => {
            let listed: Vec<(String, Option<i64>)> =
                listed.iter().map(|eim| (storable(&eim.eim_id), eim.eim_id_type)).collect();
            reconcile(work, id, &listed);
        }
        _ => {}
    }
}

fn added(work: &mut Work, id: Option<OperationId>, data: &EimConfigurationData, result: &AddEimResult) {
    const OK: i64 = 0;
    const ALREADY_EXISTS: i64 = 2;
    let eim_id = storable(&data.eim_id);
    let eim_id = eim_id.as_str();
    if is_own(work, eim_id) {
        return;
    }
    let token = match result {
        AddEimResult::AssociationToken(token) => Some(*token),
        AddEimResult::AddEimResultCode(OK) => None,
        AddEimResult::AddEimResultCode(ALREADY_EXISTS) => {
            // It is there, and what the eUICC holds of it is not what was asked for.
            if !work.state.other_eims.iter().any(|eim| eim.eim_id == eim_id && eim.is_there()) {
                put(work, id, eim_id, LearnedBy::AddEim, |eim| eim.state = AssociationState::Foreign);
            }
            return;
        }
        AddEimResult::AddEimResultCode(_) => return,
    };
    let now = work.now();
    put(work, id, eim_id, LearnedBy::AddEim, |eim| {
        // It is a new association, whatever was there before.
        *eim = OtherEim::new(eim_id, LearnedBy::AddEim, AssociationState::Associated, now);
        eim.operation = id;
        eim.configure(data);
        eim.association_token = token.or(eim.association_token);
    });
    let details = json!({ "operation": id, "eimId": eim_id, "associationToken": token, "verified": true });
    work.event("eimAdded", details);
}

/// Changes what is known of an eIM, or begins to know it. One that was gone is there again.
fn put(
    work: &mut Work,
    id: Option<OperationId>,
    eim_id: &str,
    learned_by: LearnedBy,
    change: impl FnOnce(&mut OtherEim),
) {
    let now = work.now();
    let others = &mut work.state.other_eims;
    let at = match others.iter().position(|eim| eim.eim_id == eim_id) {
        Some(at) => at,
        None => {
            if others.len() >= OTHERS_MAX {
                let oldest = others.iter().enumerate().filter(|(_, eim)| !eim.is_there());
                let Some((oldest, _)) = oldest.min_by_key(|(_, eim)| eim.changed_at) else { return };
                others.remove(oldest);
            }
            others.push(OtherEim::new(eim_id, learned_by, AssociationState::Foreign, now));
            others.len() - 1
        }
    };
    let Some(eim) = others.get_mut(at) else { return };
    if !eim.is_there() {
        *eim = OtherEim::new(eim_id, learned_by, AssociationState::Foreign, now);
    }
    let before = eim.clone();
    if eim.learned_by == LearnedBy::Imported {
        // What was hearsay is known now.
        eim.learned_by = learned_by;
    }
    change(eim);
    if *eim != before || eim.operation.is_none() {
        eim.operation = id;
        eim.changed_at = now;
    }
}

fn gone(work: &mut Work, id: Option<OperationId>, eim_id: &str) {
    let now = work.now();
    if let Some(eim) = work.state.other_eims.iter_mut().find(|eim| eim.eim_id == eim_id && eim.is_there()) {
        eim.state = AssociationState::Gone;
        eim.operation = id;
        eim.changed_at = now;
    }
    let warning = format!("{OTHER_EIM}{eim_id}");
    if work.state.euicc.warnings.contains(&warning) {
        work.euicc().warnings.retain(|known| *known != warning);
    }
}

/// What the warning of an eIM beside this one begins with.
const OTHER_EIM: &str = "another eIM is associated: ";
/// How many eIMs of one list are taken in; an eUICC has few.
const LISTED_MAX: usize = 16;

/// Brings what is known in line with the eUICC's own list: tells of eIMs that nobody here added, and of those that are
/// there no longer.
fn reconcile(work: &mut Work, id: Option<OperationId>, listed: &[(String, Option<i64>)]) {
    if work.own_eim_id().is_none() {
        return;
    }
    let now = work.now();
    let before = work.euicc().own_association.eims_listed_at.replace(now);
    if !listed.iter().any(|(eim_id, _)| is_own(work, eim_id)) {
        lost(work, id, "notListed");
    }
    let mut others: Vec<(String, Option<i64>)> =
        listed.iter().filter(|(eim_id, _)| !work.is_own_name(eim_id)).cloned().collect();
    others.sort();
    others.dedup_by(|one, other| one.0 == other.0);
    let missing: Vec<String> = work
        .state
        .other_eims
        .iter()
        .filter(|eim| eim.is_there() && others.iter().all(|(listed, _)| *listed != eim.eim_id))
        .map(|eim| eim.eim_id.clone())
        .collect();
    missing.iter().for_each(|eim_id| gone(work, id, eim_id));
    if !missing.is_empty() {
        work.event("eimGone", json!({ "operation": id, "eims": missing, "verified": true }));
    }
    work.euicc()
        .warnings
        .retain(|warning| warning.strip_prefix(OTHER_EIM).is_none_or(|eim| others.iter().any(|(id, _)| id == eim)));
    others.truncate(LISTED_MAX);
    let mut new = Vec::new();
    for (eim_id, eim_id_type) in &others {
        // An export tells of an eIM that was foreign to who made it, too: nobody has added that one.
        let is_known = |eim: &OtherEim| {
            eim.is_there() && (eim.learned_by != LearnedBy::Imported || eim.state == AssociationState::Associated)
        };
        let of_it = || work.state.other_eims.iter().filter(|eim| eim.eim_id == *eim_id);
        // One that went since it was told of has come back behind our back.
        let own = &work.state.euicc.own_association;
        let told = own.was_told_of(eim_id, before) && !of_it().any(|eim| Some(eim.changed_at) >= own.renewed_at);
        let known = told || of_it().any(is_known);
        put(work, id, eim_id, LearnedBy::ListEim, |eim| {
            eim.eim_id_type = eim_id_type.or(eim.eim_id_type);
            if told {
                eim.state = AssociationState::Associated;
            }
        });
        // Warned of by a version that kept nothing else.
        let warning = format!("{OTHER_EIM}{eim_id}");
        let warned = work.state.euicc.warnings.contains(&warning);
        if told && warned {
            work.euicc().warnings.retain(|known| *known != warning);
        }
        if !known && !warned {
            new.push(eim_id.clone());
        }
    }
    if new.is_empty() {
        return;
    }
    for eim_id in &new {
        work.warn(&format!("{OTHER_EIM}{eim_id}"));
    }
    let foreign: Vec<&str> = work
        .state
        .other_eims
        .iter()
        .filter(|eim| eim.state == AssociationState::Foreign)
        .map(|eim| eim.eim_id.as_str())
        .collect();
    let details = json!({ "operation": id, "eims": foreign, "new": new, "verified": true });
    work.event("foreignEim", details);
}

fn is_own(work: &Work, eim_id: &str) -> bool {
    work.own_eim_id() == Some(eim_id)
}
