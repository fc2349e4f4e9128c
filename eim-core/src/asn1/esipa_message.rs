//! The two CHOICEs that hold every ESipa message (SGP.32 v1.2 6.1.1).

use rasn::{AsnType, Encode};
use serde::{Deserialize, Serialize};

use super::esipa_package::{
    GetEimPackageRequest, GetEimPackageResponse, ProvideEimPackageResult, ProvideEimPackageResultResponse,
};
use super::esipa_relay::{
    AuthenticateClientRequestEsipa, AuthenticateClientResponseEsipa, CancelSessionRequestEsipa,
    CancelSessionResponseEsipa, GetBoundProfilePackageRequestEsipa, GetBoundProfilePackageResponseEsipa,
    InitiateAuthenticationRequestEsipa, InitiateAuthenticationResponseEsipa,
};
use super::esipa_transfer::{TransferEimPackageRequest, TransferEimPackageResponse};
use super::handle_notification::HandleNotificationEsipa;
use super::raw::Lenient;
use super::wire::{choice, context};

/// EsipaMessageFromIpaToEim, an untagged CHOICE (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum EsipaMessageFromIpaToEim {
    /// `BF39` InitiateAuthenticationRequestEsipa.
    #[rasn(tag(context, 57))]
    InitiateAuthenticationRequestEsipa(InitiateAuthenticationRequestEsipa),
    /// `BF3B` AuthenticateClientRequestEsipa.
    #[rasn(tag(context, 59))]
    AuthenticateClientRequestEsipa(AuthenticateClientRequestEsipa),
    /// `BF3A` GetBoundProfilePackageRequestEsipa.
    #[rasn(tag(context, 58))]
    GetBoundProfilePackageRequestEsipa(GetBoundProfilePackageRequestEsipa),
    /// `BF41` CancelSessionRequestEsipa.
    #[rasn(tag(context, 65))]
    CancelSessionRequestEsipa(CancelSessionRequestEsipa),
    /// `BF3D{arm}` HandleNotificationEsipa.
    #[rasn(tag(context, 61))]
    HandleNotificationEsipa(HandleNotificationEsipa),
    /// `BF4E{arm}` TransferEimPackageResponse.
    #[rasn(tag(context, 78))]
    TransferEimPackageResponse(Lenient<TransferEimPackageResponse>),
    /// `BF4F` GetEimPackageRequest.
    #[rasn(tag(context, 79))]
    GetEimPackageRequest(GetEimPackageRequest),
    /// `BF50` ProvideEimPackageResult.
    #[rasn(tag(context, 80))]
    ProvideEimPackageResult(ProvideEimPackageResult),
}

choice!(EsipaMessageFromIpaToEim; {
    InitiateAuthenticationRequestEsipa: implicit(context(57)),
    AuthenticateClientRequestEsipa: implicit(context(59)),
    GetBoundProfilePackageRequestEsipa: implicit(context(58)),
    CancelSessionRequestEsipa: implicit(context(65)),
    HandleNotificationEsipa: implicit(context(61)),
    TransferEimPackageResponse: implicit(context(78)),
    GetEimPackageRequest: implicit(context(79)),
    ProvideEimPackageResult: implicit(context(80)),
});

/// EsipaMessageFromEimToIpa, an untagged CHOICE (SGP.32 v1.2 annex A).
#[derive(Clone, Debug, PartialEq, Eq, AsnType, Encode, Serialize, Deserialize)]
#[rasn(choice)]
#[serde(rename_all = "camelCase")]
pub enum EsipaMessageFromEimToIpa {
    /// `BF39{arm}` InitiateAuthenticationResponseEsipa.
    #[rasn(tag(context, 57))]
    InitiateAuthenticationResponseEsipa(InitiateAuthenticationResponseEsipa),
    /// `BF3B{arm}` AuthenticateClientResponseEsipa.
    #[rasn(tag(context, 59))]
    AuthenticateClientResponseEsipa(AuthenticateClientResponseEsipa),
    /// `BF3A{arm}` GetBoundProfilePackageResponseEsipa.
    #[rasn(tag(context, 58))]
    GetBoundProfilePackageResponseEsipa(GetBoundProfilePackageResponseEsipa),
    /// `BF41{arm}` CancelSessionResponseEsipa.
    #[rasn(tag(context, 65))]
    CancelSessionResponseEsipa(CancelSessionResponseEsipa),
    /// `BF4E{arm}` TransferEimPackageRequest.
    #[rasn(tag(context, 78))]
    TransferEimPackageRequest(TransferEimPackageRequest),
    /// `BF4F{arm}` GetEimPackageResponse.
    #[rasn(tag(context, 79))]
    GetEimPackageResponse(GetEimPackageResponse),
    /// `BF50{arm}` ProvideEimPackageResultResponse.
    #[rasn(tag(context, 80))]
    ProvideEimPackageResultResponse(ProvideEimPackageResultResponse),
}

choice!(EsipaMessageFromEimToIpa; {
    InitiateAuthenticationResponseEsipa: implicit(context(57)),
    AuthenticateClientResponseEsipa: implicit(context(59)),
    GetBoundProfilePackageResponseEsipa: implicit(context(58)),
    CancelSessionResponseEsipa: implicit(context(65)),
    TransferEimPackageRequest: implicit(context(78)),
    GetEimPackageResponse: implicit(context(79)),
    ProvideEimPackageResultResponse: implicit(context(80)),
});
