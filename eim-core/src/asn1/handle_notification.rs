//! HandleNotification of ESipa (SGP.32 v1.2 6.4.1.7).

use rasn::types::Tag;
use rasn::{AsnType, Encode};
use serde::{Deserialize, Serialize};

use super::error::DecodeError;
use super::esipa_package::ProvideEimPackageResult;
use super::notification::PendingNotification;
use super::raw::{Lenient, Raw};
use super::tlv::Tlv;
use super::wire::{Wire, context, rasn_decode};

/// HandleNotificationEsipa, first octets `BF3D{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 61)))]
#[serde(rename_all = "camelCase")]
pub enum HandleNotificationEsipa {
    /// `A0{arm}` PendingNotification: A0{BF37|30|A0|A1}.
    #[rasn(tag(explicit(context, 0)))]
    PendingNotification(Lenient<Raw<PendingNotification>>),
    /// `BF50` ProvideEimPackageResult: BF50 inside BF3D.
    #[rasn(tag(context, 80))]
    ProvideEimPackageResult(ProvideEimPackageResult),
}

impl Wire for HandleNotificationEsipa {
    const NAME: &'static str = "HandleNotificationEsipa";

    fn natural() -> Option<Tag> {
        Some(context(61))
    }

    /// `BF3D{A0{notification}}` or `BF3D{BF50{..}}`; also the notification without A0 (T10) and the package result
    /// under A1 (v1.0, T11). What can't be named is kept as an unknown notification.
    fn read(tlv: Tlv<'_>) -> Result<Self, DecodeError> {
        let arm = tlv.peel(context(61)).child()?;
        if arm.tag == context(80) {
            return Wire::read(arm).map(Self::ProvideEimPackageResult);
        }
        let children = if arm.constructed { arm.children()? } else { Vec::new() };
        if arm.tag == context(1) && !children.iter().any(|child| child.tag == context(47)) {
            return Wire::read(arm).map(Self::ProvideEimPackageResult);
        }
        // A0 with one data object is the wrapper; with more it is a compact result that lacks its wrapper
        let notification = match children.as_slice() {
            [inside] if arm.tag == context(0) => *inside,
            _ => arm,
        };
        Lenient::read(notification).map(Self::PendingNotification)
    }
}
rasn_decode!(HandleNotificationEsipa);
