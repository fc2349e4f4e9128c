//! What ties a result to the package it answers (SGP.32 v1.2 2.11.2.1): pure comparison, after verification.

/// The values that a package and its result share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Binding<'a> {
    /// eimId.
    pub eim_id: &'a str,
    /// counterValue.
    pub counter_value: i64,
    /// eimTransactionId, 1 to 16 octets, when there is one.
    pub eim_transaction_id: Option<&'a [u8]>,
}

/// The first value that differs. A verified result that differs is true all the same, but answers something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BindingMismatch {
    /// eimId: the result is for another eIM.
    #[error("eimId is another eIM's")]
    EimId,
    /// counterValue.
    #[error("counterValue is not the package's")]
    CounterValue,
    /// eimTransactionId differs, is missing although it was sent, or is there although none was sent.
    #[error("eimTransactionId is not the package's")]
    EimTransactionId,
}

impl BindingMismatch {
    /// The field that differs, as the specification names it; for metric labels and API texts.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::EimId => "eimId",
            Self::CounterValue => "counterValue",
            Self::EimTransactionId => "eimTransactionId",
        }
    }
}

/// Compares what a package had with what its result says.
///
/// # Errors
/// The first value that differs: eimId, counterValue, eimTransactionId.
pub fn check_binding(expected: &Binding<'_>, found: &Binding<'_>) -> Result<(), BindingMismatch> {
    if expected.eim_id != found.eim_id {
        return Err(BindingMismatch::EimId);
    }
    if expected.counter_value != found.counter_value {
        return Err(BindingMismatch::CounterValue);
    }
    if expected.eim_transaction_id != found.eim_transaction_id {
        return Err(BindingMismatch::EimTransactionId);
    }
    Ok(())
}
