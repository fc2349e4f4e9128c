//! Every shared vector that carries octets: decoded to its value, and encoded back to the same octets (CX-01, CX-02).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use eim_core::asn1::{self, *};
use rasn::Encode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Vectors held to be wrong, with the reason. Each must really fail.
const KNOWN_WRONG: [(&str, &str); 0] = [];

fn vectors(file: &str) -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors").join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn text<'v>(vector: &'v Value, member: &str) -> &'v str {
    vector[member].as_str().unwrap_or_else(|| panic!("{} has no {member}", vector["id"]))
}

fn octets(vector: &Value, member: &str) -> Vec<u8> {
    hex::decode(text(vector, member)).unwrap()
}

/// What a type name of the vectors can do.
struct Codec {
    decode: fn(&[u8]) -> Result<Value, String>,
    encode: fn(&Value) -> Result<Vec<u8>, String>,
    reencode: fn(&[u8]) -> Result<Vec<u8>, String>,
}

fn codec<T: Component + Encode + Serialize + DeserializeOwned>() -> Codec {
    Codec {
        decode: |der| {
            let value = asn1::decode::<T>(der).map_err(|e| e.to_string())?;
            serde_json::to_value(value).map_err(|e| e.to_string())
        },
        encode: |value| {
            let value: T = serde_json::from_value(value.clone()).map_err(|e| e.to_string())?;
            asn1::encode(&value).map_err(|e| e.to_string())
        },
        reencode: |der| {
            let value = asn1::decode::<T>(der).map_err(|e| e.to_string())?;
            asn1::encode(&value).map_err(|e| e.to_string())
        },
    }
}

macro_rules! codecs {
    ($($type:ident),* $(,)?) => {
        fn codecs() -> BTreeMap<&'static str, Codec> {
            let mut codecs = BTreeMap::from([$((stringify!($type), codec::<$type>())),*]);
            codecs.insert("RulesAuthorisationTable", codec::<Vec<ProfilePolicyAuthorisationRule>>());
            codecs
        }
    };
}

codecs! {
    AddInitialEimRequest,
    AddInitialEimResponse,
    AuthenticateServerResponse,
    BoundProfilePackage,
    CancelSessionRequest,
    CancelSessionResponse,
    ConfigureImmediateProfileEnablingRequest,
    CtxParams1,
    DeviceInfo,
    DisableEmergencyProfileResponse,
    EUICCInfo1,
    EUICCInfo2,
    EUICCSigned2,
    EimConfigurationData,
    EnableEmergencyProfileResponse,
    EsipaMessageFromEimToIpa,
    EsipaMessageFromIpaToEim,
    EuiccCancelSessionSigned,
    EuiccMemoryResetRequest,
    EuiccMemoryResetResponse,
    EuiccPackageRequest,
    EuiccPackageResult,
    EuiccSigned1,
    ExecuteFallbackMechanismRequest,
    ExecuteFallbackMechanismResponse,
    GetCertsRequest,
    GetCertsResponse,
    GetConnectivityParametersResponse,
    GetEimConfigurationDataRequest,
    GetEimConfigurationDataResponse,
    ImmediateEnableRequest,
    ImmediateEnableResponse,
    IpaCapabilities,
    IpaEuiccDataRequest,
    IpaEuiccDataResponse,
    NotificationMetadata,
    PendingNotification,
    PrepareDownloadResponse,
    ProfileDownloadTriggerRequest,
    ProfileDownloadTriggerResult,
    ProfileInfo,
    ProfileInstallationResultData,
    ProfileRollbackRequest,
    ProfileRollbackResponse,
    RemoteProfileProvisioningRequest,
    RemoteProfileProvisioningResponse,
    RetrieveNotificationsListRequest,
    RetrieveNotificationsListResponse,
    ReturnFromFallbackResponse,
    ServerSigned1,
    SmdpSigned2,
    StoreMetadataRequest,
}

/// Octets to value, value to octets, octets to octets.
fn check(vector: &Value, codecs: &BTreeMap<&'static str, Codec>) -> Result<(), String> {
    let codec = codecs.get(text(vector, "type")).ok_or("no such type")?;
    let der = octets(vector, "der");
    let value = (codec.decode)(&der)?;
    if value != vector["value"] {
        return Err(format!("decoded\n  {value}\ninstead of\n  {}", vector["value"]));
    }
    let encoded = (codec.encode)(&vector["value"])?;
    if encoded != der {
        return Err(format!("encoded\n  {}\ninstead of\n  {}", hex::encode(encoded), hex::encode(&der)));
    }
    let again = (codec.reencode)(&der)?;
    if again != der {
        return Err(format!("re-encoded\n  {}\ninstead of\n  {}", hex::encode(again), hex::encode(&der)));
    }
    Ok(())
}

fn run(file: &str, expected: usize) {
    let codecs = codecs();
    let mut failures = Vec::new();
    let mut ran = 0;
    for vector in vectors(file) {
        ran += 1;
        let id = text(&vector, "id");
        let known_wrong = KNOWN_WRONG.iter().any(|(wrong, _)| *wrong == id);
        match (check(&vector, &codecs), known_wrong) {
            (Ok(()), false) | (Err(_), true) => {}
            (Ok(()), true) => failures.push(format!("{id}: listed as wrong, but passes")),
            (Err(error), false) => failures.push(format!("{id}: {error}")),
        }
    }
    assert!(failures.is_empty(), "{} of {ran}\n{}", failures.len(), failures.join("\n"));
    assert_eq!(ran, expected, "vectors in {file}");
}

#[test]
fn esep_requests_have_their_octets() {
    run("esep_request.jsonl", 40);
}

#[test]
fn esep_results_have_their_octets() {
    run("esep_result.jsonl", 87);
}

#[test]
fn esipa_package_functions_have_their_octets() {
    run("esipa_package.jsonl", 58);
}

#[test]
fn ipa_euicc_data_has_its_octets() {
    run("ipa_euicc_data.jsonl", 28);
}

#[test]
fn download_triggers_have_their_octets() {
    run("download_trigger.jsonl", 23);
}

#[test]
fn notifications_have_their_octets() {
    run("notification.jsonl", 35);
}

#[test]
fn indirect_download_has_its_octets() {
    run("indirect_download.jsonl", 86);
}

#[test]
fn es10b_objects_have_their_octets() {
    run("es10b.jsonl", 39);
}

#[test]
fn sgp22_components_have_their_octets() {
    run("sgp22.jsonl", 31);
}

/// Removes from `value` the members that v1.2 does not know.
fn without_v13(value: &mut Value) {
    if let Value::Object(members) = value {
        for unknown in ["eSipaProprietaryProtocolInformation", "iotSpecificProfileInfo"] {
            members.remove(unknown);
        }
    }
}

#[test]
fn v13_additions_decode_and_their_v12_part_is_the_value() {
    let codecs = codecs();
    let mut ran = 0;
    for vector in vectors("v13_additions.jsonl") {
        ran += 1;
        let id = text(&vector, "id");
        let decoded = (codecs[text(&vector, "type")].decode)(&octets(&vector, "der"));
        let decoded = decoded.unwrap_or_else(|e| panic!("{id}: {e}"));
        let mut expected = vector["value"].clone();
        if expected.is_null() {
            assert!(!decoded.to_string().contains("unknown"), "{id}: {decoded}");
            continue;
        }
        without_v13(&mut expected);
        assert_eq!(decoded, expected, "{id}");
    }
    assert_eq!(ran, 12);
}

/// The octets that a signature covers, as kept by the decoder.
fn signed_octets(kind: &str, der: &[u8]) -> Result<(Vec<u8>, Vec<u8>), String> {
    let message = |e: DecodeError| e.to_string();
    Ok(match kind {
        "EuiccPackageResult" => match asn1::decode(der).map_err(message)? {
            EuiccPackageResult::EuiccPackageResultSigned(signed) => {
                (signed.euicc_package_result_data_signed.octets().to_vec(), signed.euicc_sign_epr.to_vec())
            }
            EuiccPackageResult::EuiccPackageErrorSigned(signed) => {
                (signed.euicc_package_error_data_signed.octets().to_vec(), signed.euicc_sign_epe.to_vec())
            }
            EuiccPackageResult::EuiccPackageErrorUnsigned(_) => return Err("unsigned".to_owned()),
        },
        "EuiccPackageRequest" => {
            let request: EuiccPackageRequest = asn1::decode(der).map_err(message)?;
            (request.euicc_package_signed.octets().to_vec(), request.eim_signature.to_vec())
        }
        "PendingNotification" => match asn1::decode(der).map_err(message)? {
            PendingNotification::OtherSignedNotification(signed) => {
                (signed.tbs_other_notification.octets().to_vec(), signed.euicc_notification_signature.to_vec())
            }
            PendingNotification::ProfileInstallationResult(signed) => {
                (signed.profile_installation_result_data.octets().to_vec(), signed.euicc_sign_pir.to_vec())
            }
            other => return Err(format!("{other:?}")),
        },
        "AuthenticateServerResponse" => match asn1::decode(der).map_err(message)? {
            AuthenticateServerResponse::AuthenticateResponseOk(ok) => {
                (ok.euicc_signed1.octets().to_vec(), ok.euicc_signature1.to_vec())
            }
            other => return Err(format!("{other:?}")),
        },
        "ServerSigned1" => {
            let signed: Raw<ServerSigned1> = asn1::decode(der).map_err(message)?;
            (signed.octets().to_vec(), Vec::new())
        }
        "SmdpSigned2" => {
            let signed: Raw<SmdpSigned2> = asn1::decode(der).map_err(message)?;
            (signed.octets().to_vec(), Vec::new())
        }
        other => return Err(format!("no such type {other}")),
    })
}

#[test]
fn signed_octets_and_signatures_are_kept_as_received() {
    let mut ran = 0;
    let mut refused = Vec::new();
    for vector in vectors("signed.jsonl") {
        ran += 1;
        let id = text(&vector, "id");
        let (der, reason) = (octets(&vector, "der"), vector["expect"]["reason"].as_str().unwrap_or_default());
        match signed_octets(text(&vector, "type"), &der) {
            Err(error) if reason == "structure" => refused.push(format!("{id}: {error}")),
            Err(error) => panic!("{id}: {error}"),
            Ok((data, signature)) => {
                assert_ne!(reason, "structure", "{id} must not decode");
                let covered = octets(&vector, "signedBytes");
                // in these negative cases something else was signed on purpose
                if !["SIG-EPR-25", "SIG-EPR-34", "SIG-EPR-35", "SIG-REQ-22", "SIG-PIR-03"].contains(&id) {
                    assert!(covered.starts_with(&data), "{id}: {}", hex::encode(&data));
                }
                if !signature.is_empty() || id == "SIG-EPR-29" {
                    assert_eq!(hex::encode(&signature), text(&vector, "signature"), "{id}");
                }
                let at = der.windows(data.len()).any(|window| window == data);
                assert!(at, "{id}: the octets kept are not those received");
            }
        }
    }
    assert_eq!(ran, 77);
    assert_eq!(refused.len(), 2, "{refused:?}");
}

#[test]
fn a_result_of_the_wrong_structure_is_kept_as_unknown_in_a_message() {
    for vector in vectors("signed.jsonl") {
        if !["SIG-EPE-03", "SIG-EPE-04"].contains(&text(&vector, "id")) {
            continue;
        }
        let der = octets(&vector, "der");
        let provided = asn1::decode_eim_package_result(&der).unwrap();
        let Lenient::Unknown(unknown) = provided.eim_package_result else { panic!("taken for a result") };
        assert_eq!(unknown.octets(), der);
    }
}

#[test]
fn cx_02_what_is_relayed_is_kept_as_received() {
    let (mut ran, mut kept_octets) = (0, 0);
    for vector in vectors("indirect_download.jsonl") {
        let der = octets(&vector, "der");
        let kept: Vec<Vec<u8>> = if text(&vector, "type") == "EsipaMessageFromIpaToEim" {
            match asn1::decode_from_ipa(&der).unwrap() {
                EsipaMessageFromIpaToEim::InitiateAuthenticationRequestEsipa(request) => {
                    request.euicc_info1.iter().map(|info| info.octets().to_vec()).collect()
                }
                EsipaMessageFromIpaToEim::AuthenticateClientRequestEsipa(request) => {
                    vec![request.authenticate_server_response.octets().to_vec()]
                }
                EsipaMessageFromIpaToEim::GetBoundProfilePackageRequestEsipa(request) => {
                    vec![request.prepare_download_response.octets().to_vec()]
                }
                EsipaMessageFromIpaToEim::CancelSessionRequestEsipa(request) => {
                    // on the wire A1 stands in place of BF41: the rest is the same
                    let whole = request.cancel_session_response.octets();
                    assert_eq!(whole[..2], [0xBF, 0x41]);
                    vec![[&[0xA1], &whole[2..]].concat()]
                }
                other => panic!("{other:?}"),
            }
        } else {
            match asn1::decode_from_eim(&der).unwrap() {
                EsipaMessageFromEimToIpa::InitiateAuthenticationResponseEsipa(
                    InitiateAuthenticationResponseEsipa::InitiateAuthenticationOkEsipa(ok),
                ) => vec![ok.server_signed1.octets().to_vec(), ok.server_certificate.der().to_vec()],
                EsipaMessageFromEimToIpa::AuthenticateClientResponseEsipa(
                    AuthenticateClientResponseEsipa::AuthenticateClientOkDPEsipa(ok),
                ) => {
                    let metadata = ok.profile_meta_data.iter().map(|metadata| metadata.octets().to_vec());
                    let signed = [ok.smdp_signed2.octets().to_vec(), ok.smdp_certificate.der().to_vec()];
                    metadata.chain(signed).collect()
                }
                EsipaMessageFromEimToIpa::GetBoundProfilePackageResponseEsipa(
                    GetBoundProfilePackageResponseEsipa::GetBoundProfilePackageOkEsipa(ok),
                ) => vec![ok.bound_profile_package.octets().to_vec()],
                _ => Vec::new(),
            }
        };
        ran += 1;
        for octets in kept {
            kept_octets += 1;
            assert!(der.windows(octets.len()).any(|window| window == octets), "{}", vector["id"]);
        }
    }
    assert_eq!(ran, 86);
    assert!(kept_octets > 45, "{kept_octets}");
}

#[test]
fn es9plus_handle_notification_is_read_with_and_without_its_wrapper() {
    let vectors = vectors("sgp22.jsonl");
    let vector = vectors.iter().find(|vector| vector["id"] == "ES9-HN").unwrap();
    let der = octets(vector, "der");
    // A2 81 B2 BF3D 81 AE A0 81 AB BF37 ..: take out A0 81 AB and shorten the lengths around it by three octets
    let mut bare = vec![0xA2, 0x81, 0xAF, 0xBF, 0x3D, 0x81, 0xAB];
    bare.extend_from_slice(&der[10..]);
    let read: RemoteProfileProvisioningRequest = asn1::decode(&bare).unwrap();
    assert_eq!(asn1::encode(&read).unwrap(), der);
}

#[test]
fn the_names_of_codes_are_those_of_the_values() {
    let mut named = 0;
    for vector in vectors("esep_result.jsonl") {
        let result: EuiccPackageResult = asn1::decode(&octets(&vector, "der")).unwrap();
        let EuiccPackageResult::EuiccPackageResultSigned(signed) = result else { continue };
        for entry in &signed.euicc_package_result_data_signed.value().euicc_result {
            let entry = entry.known().unwrap();
            assert!(vector["value"].to_string().contains(&format!("\"{}\"", entry.arm())));
            if let Some((table, code)) = entry.code() {
                named += 1;
                assert!(code_name(table, code).is_some(), "{table:?} {code}");
            }
        }
    }
    assert!(named > 70, "{named}");
    assert_eq!(code_name(CodeTable::EnableProfileResult, 0), Some("ok"));
    assert_eq!(code_name(CodeTable::EnableProfileResult, 4), None);
    assert_eq!(code_value(CodeTable::GetEimPackageError, "missingEid"), Some(4));
    assert_eq!(code::delete_profile_result::RETURN_FALLBACK_PROFILE, 21);
}
