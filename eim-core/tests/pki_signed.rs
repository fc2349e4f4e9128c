//! Every verdict of the signature vectors (conformance CR-01 to CR-05).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod pki_support;

use chrono::{DateTime, Utc};
use eim_core::asn1::{
    AuthenticateServerResponse, EuiccPackageRequest, EuiccPackageResult, PendingNotification, Raw, ServerSigned1,
    SmdpSigned2, decode,
};
use eim_core::ids::{AssociationToken, Eid};
use eim_core::pki::{
    AuthenticationSession, Binding, BindingMismatch, Certificate, Leniency, ServerExpectation, ServerRole, TrustError,
    VerifiedChain, check_binding, euicc_certificate_eid, verify_authenticate_response, verify_euicc_chain,
    verify_installation_result, verify_notification, verify_package_error, verify_package_request,
    verify_package_result, verify_server_certificate, verify_server_signed1, verify_smdp_signed2,
};
use pki_support::{cert, lines, octets, path, trust};
use serde_json::Value;
use std::collections::BTreeMap;

/// What became of a vector: `valid`, `valid-lenient`, `invalid`, `mismatch` or `refused`, and why.
type Verdict = (&'static str, Option<&'static str>);

#[test]
fn all_verdicts_are_those_of_the_vectors() {
    let vectors = lines("signed.jsonl");
    let mut counts = BTreeMap::new();
    let mut wrong = Vec::new();
    for vector in &vectors {
        let expected = (vector["expect"]["verdict"].as_str().unwrap(), vector["expect"]["reason"].as_str());
        let found = judge(vector);
        if found != expected {
            wrong.push(format!("{}: {found:?} instead of {expected:?}", vector["id"]));
        }
        *counts.entry(found.0).or_insert(0) += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(vectors.len(), 77);
    assert_eq!(counts.into_iter().collect::<Vec<_>>(), COUNTS);
}

const COUNTS: [(&str, i32); 5] =
    [("invalid", 47), ("mismatch", 3), ("refused", 5), ("valid", 20), ("valid-lenient", 2)];

fn judge(vector: &Value) -> Verdict {
    let der = octets(&vector["der"]);
    match vector["type"].as_str().unwrap() {
        "EuiccPackageResult" => package_result(vector, &der),
        "EuiccPackageRequest" => package_request(vector, &der),
        "PendingNotification" => notification(vector, &der),
        "AuthenticateServerResponse" => authenticate(vector, &der),
        "ServerSigned1" => server_signed1(vector, &der),
        "SmdpSigned2" => smdp_signed2(vector, &der),
        other => panic!("type {other}"),
    }
}

fn verdict(result: Result<Vec<Leniency>, TrustError>) -> Verdict {
    match result {
        Ok(warnings) if warnings.is_empty() => ("valid", None),
        Ok(warnings) => ("valid-lenient", Some(warnings[0].reason())),
        Err(error) => ("invalid", Some(error.reason())),
    }
}

fn package_result(vector: &Value, der: &[u8]) -> Verdict {
    let Ok(result) = decode::<EuiccPackageResult>(der) else { return ("invalid", Some("structure")) };
    let chain = match chain(vector) {
        Ok(chain) => chain,
        Err(error) => return ("invalid", Some(error.reason())),
    };
    let (warnings, mismatch) = match result {
        EuiccPackageResult::EuiccPackageResultSigned(signed) => {
            let verified = match verify_package_result(&chain, &signed, token(vector)) {
                Ok(verified) => verified,
                Err(error) => return ("invalid", Some(error.reason())),
            };
            let mut covered = verified.octets().to_vec();
            covered.extend(AssociationToken::suffix(token(vector)));
            assert_eq!(covered, octets(&vector["signedBytes"]));
            assert_eq!(verified.signer().eid, eid(vector));
            let data = verified.value();
            let id = data.eim_transaction_id.as_ref().map(|id| id.as_ref());
            (verified.warnings().to_vec(), binding(vector, data.eim_id.as_str(), data.counter_value, id))
        }
        EuiccPackageResult::EuiccPackageErrorSigned(signed) => {
            let verified = match verify_package_error(&chain, &signed, token(vector)) {
                Ok(verified) => verified,
                Err(error) => return ("invalid", Some(error.reason())),
            };
            let data = verified.value();
            let id = data.eim_transaction_id.as_ref().map(|id| id.as_ref());
            (verified.warnings().to_vec(), binding(vector, data.eim_id.as_str(), data.counter_value, id))
        }
        EuiccPackageResult::EuiccPackageErrorUnsigned(_) => panic!("nothing to verify"),
    };
    match mismatch {
        Err(mismatch) => ("mismatch", Some(mismatch.reason())),
        Ok(()) => verdict(Ok(warnings)),
    }
}

fn binding(vector: &Value, eim_id: &str, counter_value: i64, id: Option<&[u8]>) -> Result<(), BindingMismatch> {
    let context = &vector["context"];
    let expected_id = context["eimTransactionId"].as_str().map(|id| hex::decode(id).unwrap());
    let expected = Binding {
        eim_id: context["eimId"].as_str().unwrap(),
        counter_value: context["counterValue"].as_i64().unwrap(),
        eim_transaction_id: expected_id.as_deref(),
    };
    check_binding(&expected, &Binding { eim_id, counter_value, eim_transaction_id: id })
}

/// The eUICC's side, as far as the vectors need it (SGP.32 v1.2 2.11.1.1.1).
fn package_request(vector: &Value, der: &[u8]) -> Verdict {
    let context = &vector["context"];
    let request = decode::<EuiccPackageRequest>(der).unwrap();
    let known = context["eimId"].as_str().unwrap();
    if request.euicc_package_signed.value().eim_id.as_str() != known {
        return ("refused", Some("unsigned"));
    }
    let eim = Certificate::parse(&file(&context["eimCert"])).unwrap();
    let package = match verify_package_request(eim.public_key(), &request, token(vector)) {
        Ok(package) => package,
        Err(error) => return ("invalid", Some(error.reason())),
    };
    if package.value().eid_value.as_ref() != eid(vector).octets() {
        return ("refused", Some("invalidEid"));
    }
    match package.value().counter_value {
        8_388_608.. => ("refused", Some("counterValueOutOfRange")),
        counter if counter <= context["lastCounter"].as_i64().unwrap() => ("refused", Some("replayError")),
        _ => ("valid", None),
    }
}

fn notification(vector: &Value, der: &[u8]) -> Verdict {
    match decode::<PendingNotification>(der).unwrap() {
        PendingNotification::OtherSignedNotification(signed) => verdict(
            verify_notification(&trust(), &signed, now(vector), &eid(vector))
                .map(|verified| verified.warnings().to_vec()),
        ),
        PendingNotification::ProfileInstallationResult(result) => verdict(chain(vector).and_then(|chain| {
            verify_installation_result(&chain, &result).map(|verified| verified.warnings().to_vec())
        })),
        _ => panic!("no compact forms here"),
    }
}

fn authenticate(vector: &Value, der: &[u8]) -> Verdict {
    let AuthenticateServerResponse::AuthenticateResponseOk(response) =
        decode::<AuthenticateServerResponse>(der).unwrap()
    else {
        panic!("not ok");
    };
    let context = &vector["context"];
    let session = AuthenticationSession {
        server_challenge: &octets(&context["serverChallenge"]),
        transaction_id: &octets(&context["transactionId"]),
        server_address: None,
    };
    let eid = euicc_certificate_eid(&file(&context["certs"]["euicc"])).unwrap();
    verdict(
        verify_authenticate_response(&trust(), &response, &session, now(vector), &eid)
            .map(|verified| verified.warnings().to_vec()),
    )
}

fn server_signed1(vector: &Value, der: &[u8]) -> Verdict {
    let context = &vector["context"];
    let expected = ServerExpectation {
        address: context["expectedAddress"].as_str().unwrap(),
        oid: Some(&context["expectedOid"].as_str().unwrap().parse().unwrap()),
        euicc_challenge: None,
        transaction_id: None,
    };
    let signed = decode::<Raw<ServerSigned1>>(der).unwrap();
    let server = verify_server_certificate(&trust(), &file(&context["cert"]), ServerRole::DpAuth, now(vector));
    verdict(
        server
            .and_then(|server| verify_server_signed1(&server, &signed, &octets(&vector["signature"]), &expected))
            .map(|verified| verified.warnings().to_vec()),
    )
}

fn smdp_signed2(vector: &Value, der: &[u8]) -> Verdict {
    let signed = decode::<Raw<SmdpSigned2>>(der).unwrap();
    let covered = octets(&vector["signedBytes"]);
    let euicc_signature1 = &covered[covered.len() - 64..];
    let check = || {
        let auth = verify_server_certificate(&trust(), &cert("nist/dp_auth"), ServerRole::DpAuth, now(vector))?;
        let oid = auth.signer().oid.as_ref().map(ToString::to_string);
        assert_eq!(oid.as_deref(), vector["context"]["authOid"].as_str());
        let binding =
            verify_server_certificate(&trust(), &file(&vector["context"]["cert"]), ServerRole::DpPb, now(vector))?;
        verify_smdp_signed2(&auth, &binding, &signed, &octets(&vector["signature"]), euicc_signature1)
    };
    verdict(check().map(|verified| verified.warnings().to_vec()))
}

fn chain(vector: &Value) -> Result<VerifiedChain, TrustError> {
    let certs = &vector["context"]["certs"];
    verify_euicc_chain(&trust(), &file(&certs["eum"]), &file(&certs["euicc"]), now(vector), &eid(vector))
}

fn file(name: &Value) -> Vec<u8> {
    std::fs::read(path(name.as_str().unwrap())).unwrap()
}

fn now(vector: &Value) -> DateTime<Utc> {
    vector["context"]["now"].as_str().unwrap().parse().unwrap()
}

fn eid(vector: &Value) -> Eid {
    vector["context"]["eid"].as_str().unwrap().parse().unwrap()
}

fn token(vector: &Value) -> Option<AssociationToken> {
    vector["context"]["associationToken"].as_i64().map(AssociationToken::new)
}
