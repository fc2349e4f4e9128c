//! What an IPA may do differently from the next one, and wrong.

use super::download::{DownloadMode, DownloadOptions};
use crate::euicc::DeviceDescription;
use eim_core::ids::Eid;

/// How results are brought to the eIM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// ProvideEimPackageResult: the answer acknowledges.
    #[default]
    ProvideEimPackageResult,
    /// HandleNotification with the result in it: 204, nothing is acknowledged.
    HandleNotification,
}

/// The eidValue of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EidInResult {
    /// That of the eUICC.
    #[default]
    Own,
    /// None; field IPAs do that.
    Absent,
    /// That of another eUICC.
    Other(Eid),
}

/// What becomes of an IpaEuiccDataRequest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataRequests {
    /// It is answered.
    #[default]
    Answer,
    /// It is answered, but without certificates.
    WithoutCertificates,
    /// It is answered with this ipaEuiccDataErrorCode.
    Error(i64),
    /// Nothing.
    Ignore,
}

/// The behaviour of an IPA. The default is that of a well-behaved one.
#[derive(Debug, Clone, Default)]
pub struct Behaviour {
    /// How results travel.
    pub delivery: Delivery,
    /// The eidValue beside a result.
    pub eid_in_result: EidInResult,
    /// Sends notifications along with package results (ePRAndNotifications) when there are any.
    pub with_notifications: bool,
    /// In JSON, sends a whole BF50 where an EimPackageResult should be.
    pub json_whole_result: bool,
    /// What becomes of data requests.
    pub data_requests: DataRequests,
    /// The device is cut off after an enable with rollbackFlag: the eUICC rolls back, and that result is delivered.
    pub connectivity_lost: bool,
    /// Results are lost before they are sent; the eUICC keeps them.
    pub lose_result: bool,
    /// Acknowledgements are not carried out; the eUICC keeps what it should forget.
    pub lose_acknowledgement: bool,
    /// What becomes of download triggers.
    pub download: DownloadMode,
    /// How downloads go.
    pub download_options: DownloadOptions,
    /// What it says about itself and the device.
    pub device: DeviceDescription,
}
