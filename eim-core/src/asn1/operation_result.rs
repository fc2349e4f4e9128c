//! Arm and code of one operation's result, for those who show or store it.

use super::codes::CodeTable;
use super::euicc_package_result::{AddEimResult, EuiccResultData, ListEimResult};
use super::profile_info::ProfileInfoListResponse;

impl EuiccResultData {
    /// The ASN.1 name of the arm, such as `enableResult`.
    #[must_use]
    pub fn arm(&self) -> &'static str {
        match self {
            Self::EnableResult(_) => "enableResult",
            Self::DisableResult(_) => "disableResult",
            Self::DeleteResult(_) => "deleteResult",
            Self::ListProfileInfoResult(_) => "listProfileInfoResult",
            Self::GetRATResult(_) => "getRATResult",
            Self::ConfigureImmediateEnableResult(_) => "configureImmediateEnableResult",
            Self::AddEimResult(_) => "addEimResult",
            Self::DeleteEimResult(_) => "deleteEimResult",
            Self::UpdateEimResult(_) => "updateEimResult",
            Self::ListEimResult(_) => "listEimResult",
            Self::RollbackResult(_) => "rollbackResult",
            Self::SetFallbackAttributeResult(_) => "setFallbackAttributeResult",
            Self::UnsetFallbackAttributeResult(_) => "unsetFallbackAttributeResult",
            Self::ProcessingTerminated(_) => "processingTerminated",
            Self::SetDefaultDpAddressResult(_) => "setDefaultDpAddressResult",
        }
    }

    /// The code of the arm and the table that names it; `None` where the arm carries data instead.
    #[must_use]
    pub fn code(&self) -> Option<(CodeTable, i64)> {
        Some(match self {
            Self::EnableResult(code) => (CodeTable::EnableProfileResult, *code),
            Self::DisableResult(code) => (CodeTable::DisableProfileResult, *code),
            Self::DeleteResult(code) => (CodeTable::DeleteProfileResult, *code),
            Self::ListProfileInfoResult(ProfileInfoListResponse::ProfileInfoListError(code)) => {
                (CodeTable::ProfileInfoListError, *code)
            }
            Self::ConfigureImmediateEnableResult(code) => (CodeTable::ConfigureImmediateEnableResult, *code),
            Self::AddEimResult(AddEimResult::AddEimResultCode(code)) => (CodeTable::AddEimResultCode, *code),
            Self::DeleteEimResult(code) => (CodeTable::DeleteEimResult, *code),
            Self::UpdateEimResult(code) => (CodeTable::UpdateEimResult, *code),
            Self::ListEimResult(ListEimResult::ListEimError(code)) => (CodeTable::ListEimError, *code),
            Self::RollbackResult(code) => (CodeTable::RollbackProfileResult, *code),
            Self::SetFallbackAttributeResult(code) => (CodeTable::SetFallbackAttributeResult, *code),
            Self::UnsetFallbackAttributeResult(code) => (CodeTable::UnsetFallbackAttributeResult, *code),
            Self::ProcessingTerminated(code) => (CodeTable::ProcessingTerminated, *code),
            Self::SetDefaultDpAddressResult(response) => {
                (CodeTable::SetDefaultDpAddressResult, response.set_default_dp_address_result)
            }
            Self::ListProfileInfoResult(_) | Self::GetRATResult(_) | Self::AddEimResult(_) | Self::ListEimResult(_) => {
                return None;
            }
        })
    }
}
