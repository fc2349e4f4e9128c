//! What an IPA may do differently in a download.

use std::fmt;

/// Who talks to the SM-DP+.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DownloadMode {
    /// Nobody: triggers are answered with undefinedError(127).
    #[default]
    Refuse,
    /// The IPA, over ES9+ and ES11.
    Direct,
    /// The eIM, through ESipa.
    Indirect,
    /// Indirect when the trigger has no data or directRspServerCommunication is not among the features, else direct.
    Auto,
}

/// The steps of a download, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DownloadStep {
    /// The trigger, and what it points to.
    Trigger,
    /// InitiateAuthentication.
    InitiateAuthentication,
    /// ES10b.AuthenticateServer.
    AuthenticateServer,
    /// AuthenticateClient.
    AuthenticateClient,
    /// ES10b.PrepareDownload.
    PrepareDownload,
    /// GetBoundProfilePackage.
    GetBoundProfilePackage,
    /// ES10b.LoadBoundProfilePackage.
    Install,
    /// HandleNotification with the Profile Installation Result.
    HandleNotification,
    /// CancelSession.
    CancelSession,
}

/// smdpAddress of InitiateAuthentication at the eIM.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum SmdpAddress {
    /// The address that the trigger points to, if it does.
    #[default]
    FromTrigger,
    /// None.
    Absent,
    /// This one.
    Other(String),
}

/// Where ctxParams1 comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CtxParams1Source {
    /// The eIM's, if it gives one, else our own.
    #[default]
    EimWhenGiven,
    /// Our own.
    Own,
}

/// Compact forms (minimizeEsipaBytes) of what goes to the eIM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Compact {
    /// None.
    #[default]
    No,
    /// Everything that has one; certificates are left out.
    Yes,
    /// Everything that has one, but with certificates.
    WithCertificates,
}

/// A confirmation code, which `Debug` does not show.
#[derive(Clone, PartialEq, Eq)]
pub struct ConfirmationCode(String);

impl ConfirmationCode {
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for ConfirmationCode {
    fn from(code: T) -> Self {
        Self(code.into())
    }
}

impl fmt::Debug for ConfirmationCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfirmationCode(..)")
    }
}

/// How downloads go. The default is a well-behaved IPA that leaves nothing out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadOptions {
    /// smdpAddress, indirect.
    pub smdp_address: SmdpAddress,
    /// Sends eimTransactionId when the trigger has one, indirect.
    pub send_eim_transaction_id: bool,
    /// Sends euiccInfo1, indirect.
    pub send_euicc_info1: bool,
    /// ctxParams1.
    pub ctx_params1: CtxParams1Source,
    /// Used when the SM-DP+ wants one; without it the eIM's hashCc, if it gives one.
    pub confirmation_code: Option<ConfirmationCode>,
    /// Compact forms, indirect.
    pub compact: Compact,
    /// Cancels with this reason instead of preparing the download: endUserRejection(0), postponed(1), timeout(2), ..
    pub cancel_with: Option<i64>,
    /// Cancels with this reason instead of installing the package that is there.
    pub cancel_package_with: Option<i64>,
    /// Cancels with postponed(1) where the confirmation code is missing or refused: the order stays for the next session,
    /// with another code.
    pub tries_another_code: bool,
    /// Breaks off after this step: nothing more is sent, nothing is reported.
    pub stop_after: Option<DownloadStep>,
    /// Brings the Profile Installation Result of an indirect download in a ProfileDownloadTriggerResult.
    pub pir_in_result: bool,
    /// Reports a failed download in a ProfileDownloadTriggerResult.
    pub report_failure: bool,
    /// Takes 503 of the eIM like a connection that broke: says nothing, and begins anew when the trigger comes again.
    pub waits_for_eim: bool,
}

impl Default for DownloadOptions {
    fn default() -> Self {
        Self {
            smdp_address: SmdpAddress::FromTrigger,
            send_eim_transaction_id: true,
            send_euicc_info1: true,
            ctx_params1: CtxParams1Source::EimWhenGiven,
            confirmation_code: None,
            compact: Compact::No,
            cancel_with: None,
            cancel_package_with: None,
            tries_another_code: false,
            stop_after: None,
            pir_in_result: false,
            report_failure: true,
            waits_for_eim: false,
        }
    }
}
