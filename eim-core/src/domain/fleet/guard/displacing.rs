//! Downloads that take the place of the enabled profile by themselves.

use super::profiles::owners_let_go;
use super::{Check, Known, SmdpAddress, set_aside};
use crate::domain::{Capabilities, Euicc, Profile};
use crate::ids::RspAddress;
use serde_json::Value;

/// The profiles that a download from there takes the place of by itself: immediate enabling was configured, as a verified result says.
#[must_use]
pub fn displaced<'a>(smdp: SmdpAddress<'_>, euicc: &Euicc, profiles: &'a [Profile]) -> Vec<&'a Profile> {
    let told = |name: &str| Capabilities(euicc.capabilities.as_ref()).0?.get(name);
    let is_host = |name: &str, host: &str| {
        told(name)
            .and_then(Value::as_str)
            .and_then(|address| address.parse::<RspAddress>().ok())
            .is_some_and(|address| address.host().eq_ignore_ascii_case(host))
    };
    let comes_by_itself = match smdp {
        SmdpAddress::Default => true,
        SmdpAddress::Known(address) => {
            let parsed = address.parse::<RspAddress>();
            let host = parsed.as_ref().map_or(address, RspAddress::host);
            is_host("defaultSmdpAddress", host) || is_host("immediateEnableAddress", host)
        }
        SmdpAddress::Smds(_) | SmdpAddress::Pool => false,
    };
    let is_on = told("immediateEnable") == Some(&Value::Bool(true));
    profiles.iter().filter(|profile| is_on && comes_by_itself && profile.enabled == Some(true)).collect()
}

/// What the owners of these profiles say.
pub(super) fn displacing(smdp: SmdpAddress<'_>, known: Known<'_>) -> Option<Check> {
    let off = displaced(smdp, known.euicc, known.profiles);
    (!off.is_empty()).then(|| owners_let_go(&off, &[], known))
}

/// The check of a download that is asked for as a single operation; none where it enables nothing by itself.
#[must_use]
pub fn download_checks(smdp: SmdpAddress<'_>, known: Known<'_>, overridden: &[String]) -> Vec<Check> {
    let mut checks: Vec<Check> = displacing(smdp, known).into_iter().collect();
    set_aside(&mut checks, &[], overridden);
    checks
}
