//! ES10b functions about eIMs, certificates and stored notifications (SGP.32 v1.2 5.9).

use rasn::types::Tag;
use rasn::{AsnType, Encode, Encoder};
use serde::{Deserialize, Serialize};

use super::basic::NotificationEvent;
use super::certificate::Certificate;
use super::eim_configuration::EimConfigurationData;
use super::euicc_package_result::EuiccPackageResult;
use super::notification::PendingNotification;
use super::primitive::{EimIdText, Null, OctetString, SubjectKeyIdentifier};
use super::raw::{Lenient, Raw};
use super::wire::{choice, context, sequence, universal};

/// AddInitialEimRequest, first octets `BF57` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 87))]
pub struct AddInitialEimRequest {
    /// `A0` SEQUENCE OF EimConfigurationData.
    #[rasn(tag(context, 0))]
    #[serde(rename = "eimConfigurationDataList")]
    pub eim_configuration_data_list: Vec<EimConfigurationData>,
}

sequence!(AddInitialEimRequest = context(87); {
    eim_configuration_data_list: required(context(0)),
});

/// One entry of `addInitialEimOk` in [`AddInitialEimResponse`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum AddInitialEimOkEntry {
    /// `84` INTEGER: token value; -1 (84 01 FF) in addEim/AddInitialEim asks the eUICC to allocate one.
    #[rasn(tag(context, 4))]
    AssociationToken(i64),
    /// `05` NULL.
    #[rasn(tag(universal, 5))]
    AddOk(Null),
}

choice!(AddInitialEimOkEntry; {
    AssociationToken: implicit(context(4)),
    AddOk: implicit(universal(5)),
});

/// AddInitialEimResponse, first octets `BF57{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 87)))]
#[serde(rename_all = "camelCase")]
pub enum AddInitialEimResponse {
    /// `A0` SEQUENCE OF CHOICE.
    #[rasn(tag(context, 0))]
    AddInitialEimOk(Vec<AddInitialEimOkEntry>),
    /// `81` INTEGER: insufficientMemory(1), associatedEimAlreadyExists(2), ciPKUnknown(3), invalidAssociationToken(5),
    /// counterValueOutOfRange(6), commandError(7), undefinedError(127).
    #[rasn(tag(context, 1))]
    AddInitialEimError(i64),
}

choice!(AddInitialEimResponse = context(87); {
    AddInitialEimOk: implicit(context(0)),
    AddInitialEimError: implicit(context(1)),
});

/// `searchCriteria` of [`GetEimConfigurationDataRequest`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum GetEimConfigurationDataRequestSearchCriteria {
    /// `80` UTF8String (1..128): identifier of the eIM, 1..128 octets of UTF-8.
    #[rasn(tag(context, 0))]
    EimId(EimIdText),
}

choice!(GetEimConfigurationDataRequestSearchCriteria; {
    EimId: implicit(context(0)),
});

/// GetEimConfigurationDataRequest, first octets `BF55` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 85))]
pub struct GetEimConfigurationDataRequest {
    /// `A0{arm}` CHOICE.
    #[rasn(tag(explicit(context, 0)))]
    #[serde(rename = "searchCriteria", default, skip_serializing_if = "Option::is_none")]
    pub search_criteria: Option<GetEimConfigurationDataRequestSearchCriteria>,
}

sequence!(GetEimConfigurationDataRequest = context(85); {
    search_criteria: optional_explicit(context(0)),
});

/// GetEimConfigurationDataResponse, first octets `BF55` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 85))]
pub struct GetEimConfigurationDataResponse {
    /// `A0` SEQUENCE OF EimConfigurationData.
    #[rasn(tag(context, 0))]
    #[serde(rename = "eimConfigurationDataList")]
    pub eim_configuration_data_list: Vec<EimConfigurationData>,
}

sequence!(GetEimConfigurationDataResponse = context(85); {
    eim_configuration_data_list: required(context(0)),
});

/// GetCertsRequest, first octets `BF56` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 86))]
pub struct GetCertsRequest {
    /// `80` OCTET STRING.
    #[rasn(tag(context, 0))]
    #[serde(rename = "euiccCiPKId", default, skip_serializing_if = "Option::is_none")]
    pub euicc_ci_pk_id: Option<SubjectKeyIdentifier>,
}

sequence!(GetCertsRequest = context(86); {
    euicc_ci_pk_id: optional(context(0)),
});

/// `certs` of [`GetCertsResponse`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct Certs {
    /// `A5` Certificate.
    #[rasn(tag(context, 5))]
    #[serde(rename = "eumCertificate")]
    pub eum_certificate: Certificate,
    /// `A6` Certificate.
    #[rasn(tag(context, 6))]
    #[serde(rename = "euiccCertificate")]
    pub euicc_certificate: Certificate,
}

sequence!(Certs = Tag::SEQUENCE; {
    eum_certificate: required(context(5)),
    euicc_certificate: required(context(6)),
});

/// GetCertsResponse, first octets `BF56{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 86)))]
#[serde(rename_all = "camelCase")]
pub enum GetCertsResponse {
    /// `A0` SEQUENCE.
    #[rasn(tag(context, 0))]
    Certs(Certs),
    /// `81` INTEGER: invalidCiPKId(1), undfinedError(127).
    #[rasn(tag(context, 1))]
    GetCertsError(i64),
}

choice!(GetCertsResponse = context(86); {
    Certs: implicit(context(0)),
    GetCertsError: implicit(context(1)),
});

/// `searchCriteria` of [`RetrieveNotificationsListRequest`] (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum RetrieveNotificationsListRequestSearchCriteria {
    /// `80` INTEGER.
    #[rasn(tag(context, 0))]
    SeqNumber(i64),
    /// `81` BIT STRING.
    #[rasn(tag(context, 1))]
    ProfileManagementOperation(NotificationEvent),
    /// `82` NULL.
    #[rasn(tag(context, 2))]
    EuiccPackageResults(Null),
}

choice!(RetrieveNotificationsListRequestSearchCriteria; {
    SeqNumber: implicit(context(0)),
    ProfileManagementOperation: implicit(context(1)),
    EuiccPackageResults: implicit(context(2)),
});

/// RetrieveNotificationsListRequest, first octets `BF2B` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(tag(context, 43))]
pub struct RetrieveNotificationsListRequest {
    /// `A0{arm}` CHOICE.
    #[rasn(tag(explicit(context, 0)))]
    #[serde(rename = "searchCriteria", default, skip_serializing_if = "Option::is_none")]
    pub search_criteria: Option<RetrieveNotificationsListRequestSearchCriteria>,
}

sequence!(RetrieveNotificationsListRequest = context(43); {
    search_criteria: optional_explicit(context(0)),
});

/// RetrieveNotificationsListResponse, first octets `BF2B{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 43)))]
#[serde(rename_all = "camelCase")]
pub enum RetrieveNotificationsListResponse {
    /// `A0` PendingNotificationList = SEQUENCE OF PendingNotification.
    #[rasn(tag(context, 0))]
    NotificationList(Vec<Lenient<Raw<PendingNotification>>>),
    /// `81` INTEGER: undefinedError(127).
    #[rasn(tag(context, 1))]
    NotificationsListResultError(i64),
    /// `A2` EuiccPackageResultList = SEQUENCE OF EuiccPackageResult.
    #[rasn(tag(context, 2))]
    EuiccPackageResultList(Vec<Lenient<EuiccPackageResult>>),
}

choice!(RetrieveNotificationsListResponse = context(43); {
    NotificationList: implicit(context(0)),
    NotificationsListResultError: implicit(context(1)),
    EuiccPackageResultList: implicit(context(2)),
});

/// GetConnectivityParametersResponse, first octets `BF5F{arm}` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice, tag(explicit(context, 95)))]
#[serde(rename_all = "camelCase")]
pub enum GetConnectivityParametersResponse {
    /// `A0` ConnectivityParameters.
    #[rasn(tag(context, 0))]
    ConnectivityParameters(ConnectivityParameters),
    /// `81` INTEGER: parametersNotAvailable(1), undefinedError(127).
    #[rasn(tag(context, 1))]
    ConnectivityParametersError(i64),
}

choice!(GetConnectivityParametersResponse = context(95); {
    ConnectivityParameters: implicit(context(0)),
    ConnectivityParametersError: implicit(context(1)),
});

/// ConnectivityParameters, first octets `30` (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, Default, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
pub struct ConnectivityParameters {
    /// `81` OCTET STRING: parameters of an HTTP(S) connection.
    #[rasn(tag(context, 1))]
    #[serde(rename = "httpParams", default, skip_serializing_if = "Option::is_none")]
    pub http_params: Option<OctetString>,
}

sequence!(ConnectivityParameters = Tag::SEQUENCE; {
    http_params: optional(context(1)),
});
