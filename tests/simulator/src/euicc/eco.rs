//! eIM Configuration Operations (SGP.32 v1.2 2.11.1.1.2, 3.5) and AddInitialEim (5.9.4).

use super::Euicc;
use super::association::{Association, MAX_COUNTER, public_key};
use super::error::{EuiccError, command};
use eim_core::asn1::{
    self, AddEimResult, AddInitialEimOkEntry, AddInitialEimRequest, AddInitialEimResponse, Eco, EimConfigurationData,
    EimIdInfo, EimIdText, EuiccResultData, ListEimResult, Null,
};
use eim_core::ids::AssociationToken;

const OK: i64 = 0;
const INSUFFICIENT_MEMORY: i64 = 1;
const ASSOCIATED_EIM_ALREADY_EXISTS: i64 = 2;
const CI_PK_UNKNOWN: i64 = 3;
const INVALID_ASSOCIATION_TOKEN: i64 = 5;
const COUNTER_VALUE_OUT_OF_RANGE: i64 = 6;
const COMMAND_ERROR: i64 = 7;
const UNDEFINED_ERROR: i64 = 127;
const EIM_NOT_FOUND: i64 = 1;
const LAST_EIM_DELETED: i64 = 2;

impl Euicc {
    pub(super) fn execute_eco(&mut self, eco: &Eco) -> EuiccResultData {
        if self.faults.undefined_errors {
            return match eco {
                Eco::AddEim(_) => EuiccResultData::AddEimResult(AddEimResult::AddEimResultCode(UNDEFINED_ERROR)),
                Eco::DeleteEim(_) => EuiccResultData::DeleteEimResult(UNDEFINED_ERROR),
                Eco::UpdateEim(_) => EuiccResultData::UpdateEimResult(UNDEFINED_ERROR),
                Eco::ListEim(_) => EuiccResultData::ListEimResult(ListEimResult::ListEimError(UNDEFINED_ERROR)),
            };
        }
        match eco {
            Eco::AddEim(configuration) => EuiccResultData::AddEimResult(match self.add_eim(configuration) {
                Ok(Some(token)) => AddEimResult::AssociationToken(token.value()),
                Ok(None) => AddEimResult::AddEimResultCode(OK),
                Err(code) => AddEimResult::AddEimResultCode(code),
            }),
            Eco::DeleteEim(delete) => EuiccResultData::DeleteEimResult(self.delete_eim(delete.eim_id.as_str())),
            Eco::UpdateEim(configuration) => EuiccResultData::UpdateEimResult(match self.update_eim(configuration) {
                Ok(()) => OK,
                Err(code) => code,
            }),
            Eco::ListEim(_) => EuiccResultData::ListEimResult(ListEimResult::EimIdList(self.eim_ids())),
        }
    }

    /// Adds an association and gives its token. The token -1 is replaced by the next one of the global counter; another
    /// negative one is refused.
    fn add_eim(&mut self, configuration: &EimConfigurationData) -> Result<Option<AssociationToken>, i64> {
        if self.association(configuration.eim_id.as_str()).is_some() {
            return Err(ASSOCIATED_EIM_ALREADY_EXISTS);
        }
        if self.associations.len() >= self.limits.eims {
            return Err(INSUFFICIENT_MEMORY);
        }
        self.check_ci_key_id(configuration)?;
        let counter = counter_of(configuration)?.unwrap_or(0);
        let token = match configuration.association_token {
            Some(-1) | None => configuration.association_token,
            Some(token) if token >= 0 => Some(token),
            Some(_) => return Err(INVALID_ASSOCIATION_TOKEN),
        };
        let mut association = Association::new(configuration.clone(), counter, None).map_err(|_| COMMAND_ERROR)?;
        association.token = token.map(|token| match token {
            -1 => AssociationToken::new(self.next_token()),
            given => {
                self.last_token = self.last_token.max(given);
                AssociationToken::new(given)
            }
        });
        let token = association.token;
        self.associations.push(association);
        Ok(token)
    }

    fn delete_eim(&mut self, eim_id: &str) -> i64 {
        let before = self.associations.len();
        self.associations.retain(|association| association.eim_id != eim_id);
        match self.associations.len() {
            after if after == before => EIM_NOT_FOUND,
            0 => LAST_EIM_DELETED,
            _ => OK,
        }
    }

    /// Changes the fields that are there. A lower counter without a new key would let old packages run again:
    /// commandError(7).
    fn update_eim(&mut self, change: &EimConfigurationData) -> Result<(), i64> {
        let Some(association) = self.association(change.eim_id.as_str()) else { return Err(EIM_NOT_FOUND) };
        self.check_ci_key_id(change)?;
        let counter = counter_of(change)?;
        let key = change.eim_public_key_data.as_ref().map(public_key).transpose().map_err(|_| COMMAND_ERROR)?;
        let lowers = counter.is_some_and(|counter| counter < association.counter);
        let same_key = key.as_ref().is_none_or(|key| *key == association.key);
        if (lowers && same_key) || change.association_token.is_some_and(|token| token < 0) {
            return Err(COMMAND_ERROR);
        }
        let given = change.association_token;
        self.last_token = self.last_token.max(given.unwrap_or(0));
        if let Some(association) = self.association_mut(change.eim_id.as_str()) {
            association.counter = counter.unwrap_or(association.counter);
            association.token = given.map(AssociationToken::new).or(association.token);
            if let Some(key) = key {
                association.key = key;
            }
            merge(&mut association.configuration, change);
        }
        Ok(())
    }

    fn check_ci_key_id(&self, configuration: &EimConfigurationData) -> Result<(), i64> {
        match &configuration.euicc_ci_pk_id {
            Some(id) if !self.identity.ci_key_id.starts_with(id) || id.is_empty() => Err(CI_PK_UNKNOWN),
            _ => Ok(()),
        }
    }

    fn eim_ids(&self) -> Vec<EimIdInfo> {
        let info = |association: &Association| {
            let eim_id = EimIdText::new(association.eim_id.clone()).ok()?;
            Some(EimIdInfo { eim_id, eim_id_type: association.configuration.eim_id_type })
        };
        self.associations.iter().filter_map(info).collect()
    }

    /// ES10b.AddInitialEim: takes `BF57 { A0 { 30.. } }`, gives `BF57 { A0 { 84 token | 05 00 } }` or an error. Only
    /// possible while no eIM is associated; either all configurations are taken or none.
    ///
    /// # Errors
    /// [`EuiccError::Command`] when the octets are no AddInitialEimRequest.
    pub fn add_initial_eim(&mut self, request: &[u8]) -> Result<Vec<u8>, EuiccError> {
        let request: AddInitialEimRequest = asn1::decode(request).map_err(|_| command("AddInitialEimRequest"))?;
        let response = match self.add_all(&request.eim_configuration_data_list) {
            Ok(entries) => AddInitialEimResponse::AddInitialEimOk(entries),
            Err(code) => AddInitialEimResponse::AddInitialEimError(code),
        };
        Ok(asn1::encode(&response)?)
    }

    fn add_all(&mut self, list: &[EimConfigurationData]) -> Result<Vec<AddInitialEimOkEntry>, i64> {
        if !self.associations.is_empty() {
            return Err(ASSOCIATED_EIM_ALREADY_EXISTS);
        }
        let mut entries = Vec::new();
        for configuration in list {
            match self.add_eim(configuration) {
                Ok(Some(token)) => entries.push(AddInitialEimOkEntry::AssociationToken(token.value())),
                Ok(None) => entries.push(AddInitialEimOkEntry::AddOk(Null)),
                Err(code) => {
                    self.associations.clear();
                    return Err(code);
                }
            }
        }
        Ok(entries)
    }
}

fn counter_of(configuration: &EimConfigurationData) -> Result<Option<i64>, i64> {
    match configuration.counter_value {
        Some(counter) if !(0..=MAX_COUNTER).contains(&counter) => Err(COUNTER_VALUE_OUT_OF_RANGE),
        counter => Ok(counter),
    }
}

fn merge(kept: &mut EimConfigurationData, change: &EimConfigurationData) {
    fn take<T: Clone>(kept: &mut Option<T>, change: &Option<T>) {
        if change.is_some() {
            kept.clone_from(change);
        }
    }
    take(&mut kept.eim_fqdn, &change.eim_fqdn);
    take(&mut kept.eim_id_type, &change.eim_id_type);
    take(&mut kept.eim_public_key_data, &change.eim_public_key_data);
    take(&mut kept.trusted_public_key_data_tls, &change.trusted_public_key_data_tls);
    take(&mut kept.eim_supported_protocol, &change.eim_supported_protocol);
    take(&mut kept.euicc_ci_pk_id, &change.euicc_ci_pk_id);
    take(&mut kept.indirect_profile_download, &change.indirect_profile_download);
}
