//! ES10b.LoadEuiccPackage: verifies a package, executes it, answers (SGP.32 v1.2 3.3.1).

use super::association::MAX_COUNTER;
use super::error::EuiccError;
use super::request::{Operations, Request};
use super::result::Header;
use super::{Euicc, Rollback, UnsignedError};
use eim_core::asn1::{self, EuiccResultData};
use eim_core::ids::AssociationToken;
use eim_core::pki::package_signature_input;

mod code {
    pub const INVALID_EID: i64 = 3;
    pub const REPLAY_ERROR: i64 = 4;
    pub const COUNTER_VALUE_OUT_OF_RANGE: i64 = 6;
    pub const SIZE_OVERFLOW: i64 = 15;
    pub const ECALL_ACTIVE: i64 = 104;
}

mod terminated {
    pub const RESULT_SIZE_OVERFLOW: i64 = 1;
    pub const UNKNOWN_OR_DAMAGED_COMMAND: i64 = 2;
    pub const INTERRUPTION: i64 = 3;
}

impl Euicc {
    /// Takes an eUICC Package Request (`BF51`) and gives the eUICC Package Result (`BF51`).
    ///
    /// The checks are, in order: size, eimId, signature with the stored token, EID, counter, eCall. Then the operations
    /// run one after another.
    ///
    /// # Errors
    /// [`EuiccError`] when the octets are no request: a card answers that with a status word.
    pub fn load_euicc_package(&mut self, request: &[u8]) -> Result<Vec<u8>, EuiccError> {
        if let Some(earlier) = self.faults.replay.clone() {
            return Ok(earlier);
        }
        let octets = request;
        let request = Request::read(octets)?;
        let answer = self.answer(&request, octets.len())?;
        self.remember_loaded(octets, &answer);
        self.last_answer = Some(answer.clone());
        Ok(answer)
    }

    fn answer(&mut self, request: &Request<'_>, bytes: usize) -> Result<Vec<u8>, EuiccError> {
        let mut header = Header {
            eim_id: request.eim_id.to_owned(),
            counter: request.counter,
            eim_transaction_id: request.eim_transaction_id.map(<[u8]>::to_vec),
            token: None,
        };
        if let Some(error) = self.faults.unsigned_error {
            return Ok(self.unsigned_error(&header, error));
        }
        let Some(association) = self.association(request.eim_id) else {
            return Ok(self.unsigned_error(&header, UnsignedError::WithoutToken));
        };
        header.token = association.token;
        if bytes > self.limits.package_bytes {
            return Ok(self.signed_error(&header, code::SIZE_OVERFLOW));
        }
        let input = package_signature_input(request.signed, association.token);
        let authentic = request.signature.len() == 64 && association.key.verify(&input, request.signature).is_ok();
        if !authentic {
            let error = match association.token.map(AssociationToken::value).filter(|_| !self.faults.hide_token) {
                Some(token) => UnsignedError::WithToken(token),
                None => UnsignedError::WithoutToken,
            };
            return Ok(self.unsigned_error(&header, error));
        }
        if let Some(code) = self.refusal(request, association.counter) {
            if self.faults.errors_use_counter && request.counter <= MAX_COUNTER {
                self.use_counter(request);
            }
            return Ok(self.signed_error(&header, code));
        }
        self.use_counter(request);
        self.execute(request, &header)
    }

    /// Why an authentic package is not executed.
    fn refusal(&self, request: &Request<'_>, last_counter: i64) -> Option<i64> {
        if request.eid != self.identity.eid.octets() {
            Some(code::INVALID_EID)
        } else if request.counter > MAX_COUNTER {
            Some(code::COUNTER_VALUE_OUT_OF_RANGE)
        } else if request.counter <= last_counter {
            Some(code::REPLAY_ERROR)
        } else if self.is_ecall_active() {
            Some(code::ECALL_ACTIVE)
        } else {
            self.faults.signed_error
        }
    }

    fn use_counter(&mut self, request: &Request<'_>) {
        if let Some(association) = self.association_mut(request.eim_id) {
            association.counter = association.counter.max(request.counter);
        }
    }

    fn execute(&mut self, request: &Request<'_>, header: &Header) -> Result<Vec<u8>, EuiccError> {
        let before = self.enabled_iccid();
        let mut results = Vec::new();
        let count = match &request.operations {
            Operations::Psmo(list) => list.len(),
            Operations::Eco(list) => list.len(),
        };
        for index in 0..count {
            if let Some((_, code)) = self.faults.terminate_after.filter(|(after, _)| *after <= index) {
                results.push(EuiccResultData::ProcessingTerminated(code));
                break;
            }
            let result = match &request.operations {
                Operations::Psmo(list) => list.get(index).and_then(Option::as_ref).map(|psmo| {
                    let result = self.execute_psmo(psmo);
                    if psmo_asks_rollback(psmo, &result) {
                        self.rollback = before.map(|target| Rollback { target, seq_number: 0, header: header.clone() });
                    }
                    result
                }),
                Operations::Eco(list) => list.get(index).and_then(Option::as_ref).map(|eco| self.execute_eco(eco)),
            };
            let Some(result) = result else {
                results.push(EuiccResultData::ProcessingTerminated(terminated::UNKNOWN_OR_DAMAGED_COMMAND));
                break;
            };
            results.push(result);
            if self.list_bytes(&results)? > self.limits.result_bytes {
                results.pop();
                results.push(EuiccResultData::ProcessingTerminated(terminated::RESULT_SIZE_OVERFLOW));
                break;
            }
        }
        if let Some(most) = self.faults.drop_results_after.filter(|most| *most < results.len()) {
            results.truncate(most);
            results.push(EuiccResultData::ProcessingTerminated(terminated::INTERRUPTION));
        }
        let seq_number = self.next_seq_number();
        if let Some(rollback) = self.rollback.as_mut().filter(|rollback| rollback.seq_number == 0) {
            rollback.seq_number = seq_number;
        }
        self.signed_result(header, seq_number, &results)
    }

    fn list_bytes(&self, results: &[EuiccResultData]) -> Result<usize, EuiccError> {
        let mut bytes = 0;
        for result in results {
            bytes += asn1::encode(result)?.len();
        }
        Ok(bytes)
    }
}

/// Whether this was a successful enable with rollbackFlag.
fn psmo_asks_rollback(psmo: &asn1::Psmo, result: &EuiccResultData) -> bool {
    matches!((psmo, result), (asn1::Psmo::Enable(enable), EuiccResultData::EnableResult(0)) if enable.rollback_flag.is_some())
}
