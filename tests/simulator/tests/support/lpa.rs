//! An LPA and its eUICC by hand, as small as can be: what the simulated servers are tested with.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "tests may panic")]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_core::asn1::{self, Raw, ServerSigned1, SmdpSigned2};
use eim_core::pki::{
    ServerExpectation, ServerRole, TrustError, TrustStore, VerifiedServer, hash_cc, verify_server_certificate,
    verify_server_signed1, verify_smdp_signed2,
};
use eim_simulator::bpp::{self, OpenError, Opened};
use eim_simulator::pki::{EuiccIdentity, FleetPki};
use eim_simulator::tlv::{Tlv, element, integer};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub const NOW: &str = "2026-01-01T00:00:00Z";
pub const EUICC_CHALLENGE: [u8; 16] = [0xc5; 16];
pub const OT_SECRET: [u8; 32] = [0x31; 32];

/// The eIM's check of a TLS certificate, and that the name is in it.
#[derive(Debug)]
struct GsmaVerifier {
    trust: TrustStore,
    role: ServerRole,
}

impl ServerCertVerifier for GsmaVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let server = verify_server_certificate(&self.trust, end_entity, self.role, NOW.parse().unwrap())
            .map_err(|error| Error::General(error.reason().to_owned()))?;
        if server.dns_names().iter().any(|name| *name == *server_name.to_str()) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &ring::default_provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &ring::default_provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        ring::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        assert_eq!(self.status, 200);
        serde_json::from_slice(&self.body).unwrap()
    }
}

#[derive(Clone)]
pub struct Lpa {
    pub euicc: EuiccIdentity,
    pub trust: TrustStore,
    pub address: String,
    socket: SocketAddr,
    tls: Arc<ClientConfig>,
    is_smds: bool,
}

impl Lpa {
    pub fn new(pki: &FleetPki, index: u32, socket: SocketAddr, address: String, is_smds: bool) -> Self {
        let trust = TrustStore::from_certificates([pki.ci_certificate()]).unwrap();
        let role = if is_smds { ServerRole::DsTls } else { ServerRole::DpTls };
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(GsmaVerifier { trust: trust.clone(), role }))
            .with_no_client_auth();
        Self { euicc: pki.euicc(index).unwrap(), trust, address, socket, tls: Arc::new(tls), is_smds }
    }

    pub async fn request(&self, method: &str, path: &str, body: &[u8]) -> Result<Reply, String> {
        let tcp = TcpStream::connect(self.socket).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from("localhost").unwrap();
        let tls = TlsConnector::from(self.tls.clone());
        let tls = tls.connect(name, tcp).await.map_err(|error| format!("tls: {error}"))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(|error| error.to_string())?;
        tokio::spawn(async move { drop(connection.await) });
        let request = hyper::Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.address)
            .header("content-type", "application/json")
            .header("x-admin-protocol", "gsma/rsp/v2.5.0")
            .header("user-agent", "gsma-rsp-lpad")
            .body(Full::new(Bytes::from(body.to_vec())))
            .unwrap();
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let header = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
        if status == 200 && header("content-type").is_some_and(|kind| kind.starts_with("application/json")) {
            assert!(header("x-admin-protocol").is_none_or(|protocol| protocol == "gsma/rsp/v2.5.0"));
        }
        let content_type = header("content-type").unwrap_or_default();
        let body = response.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes().to_vec();
        Ok(Reply { status, content_type, body })
    }

    pub async fn post(&self, function: &str, body: &Value) -> Result<Reply, String> {
        self.request("POST", &format!("/gsma/rsp2/es9plus/{function}"), body.to_string().as_bytes()).await
    }

    pub async fn call(&self, function: &str, body: &Value) -> Value {
        self.post(function, body).await.unwrap().json()
    }

    pub fn initiate_request(&self) -> Value {
        let ids = element(0x04, &[&self.euicc.ci_key_id]);
        let info = element(0xbf20, &[&element(0x82, &[&[2, 5, 0]]), &element(0xa9, &[&ids]), &element(0xaa, &[&ids])]);
        json!({
            "euiccChallenge": STANDARD.encode(EUICC_CHALLENGE),
            "euiccInfo1": STANDARD.encode(info),
            "smdpAddress": self.address,
        })
    }

    pub async fn initiate(&self) -> Value {
        self.call("initiateAuthentication", &self.initiate_request()).await
    }

    /// What the eUICC checks of InitiateAuthentication.
    pub fn check_server(&self, answer: &Value) -> Result<VerifiedServer, TrustError> {
        let role = if self.is_smds { ServerRole::DsAuth } else { ServerRole::DpAuth };
        let certificate = octets(answer, "serverCertificate");
        let server = verify_server_certificate(&self.trust, &certificate, role, NOW.parse().unwrap())?;
        let signed: Raw<ServerSigned1> = asn1::decode(&octets(answer, "serverSigned1")).unwrap();
        let expected = ServerExpectation {
            address: &self.address,
            oid: None,
            euicc_challenge: Some(&EUICC_CHALLENGE),
            transaction_id: Some(&transaction_id(answer)),
        };
        verify_server_signed1(&server, &signed, &signature(answer, "serverSignature1"), &expected)?;
        Ok(server)
    }

    /// AuthenticateClient of the eUICC, and euiccSignature1.
    pub fn authenticate_request(&self, initiated: &Value, matching_id: Option<&str>) -> (Value, Vec<u8>) {
        let server_signed1 = octets(initiated, "serverSigned1");
        let server = Tlv::only(&server_signed1).unwrap();
        let matching_id = matching_id.map(|text| element(0x80, &[text.as_bytes()])).unwrap_or_default();
        let device = element(0xa1, &[&element(0x80, &[&[0x35, 0x29, 6, 0x11]]), &element(0xa1, &[])]);
        let signed = element(
            0x30,
            &[
                &element(0x80, &[&transaction_id(initiated)]),
                &element(0x83, &[self.address.as_bytes()]),
                server.child(0x84).unwrap().octets,
                &element(0xbf22, &[]),
                &element(0xa0, &[&matching_id, &device]),
            ],
        );
        let signature = self.euicc.key.sign_deterministic(&signed);
        let response = element(
            0xbf38,
            &[&element(
                0xa0,
                &[&signed, &element(0x5f37, &[&signature]), &self.euicc.certificate, &self.euicc.eum_certificate],
            )],
        );
        (with_transaction_id(&transaction_id(initiated), "authenticateServerResponse", &response), signature.to_vec())
    }

    pub async fn authenticate(&self, initiated: &Value, matching_id: Option<&str>) -> (Value, Vec<u8>) {
        let (request, signature1) = self.authenticate_request(initiated, matching_id);
        (self.call("authenticateClient", &request).await, signature1)
    }

    /// What the eUICC checks of AuthenticateClient.
    pub fn check_smdp(
        &self,
        auth: &VerifiedServer,
        answer: &Value,
        signature1: &[u8],
    ) -> Result<(VerifiedServer, SmdpSigned2), TrustError> {
        let certificate = octets(answer, "smdpCertificate");
        let pb = verify_server_certificate(&self.trust, &certificate, ServerRole::DpPb, NOW.parse().unwrap())?;
        let signed: Raw<SmdpSigned2> = asn1::decode(&octets(answer, "smdpSigned2")).unwrap();
        let value = signed.value().clone();
        verify_smdp_signed2(auth, &pb, &signed, &signature(answer, "smdpSignature2"), signature1)?;
        Ok((pb, value))
    }

    pub fn prepare_request(&self, id: &[u8], answer: &Value, code: Option<&str>) -> Value {
        let hash = code.map(|code| element(0x04, &[&hash_cc(code, id)])).unwrap_or_default();
        let otpk = element(0x5f49, &[&bpp::otpk(&OT_SECRET).unwrap()]);
        let signed = element(0x30, &[&element(0x80, &[id]), &otpk, &hash]);
        let appended = element(0x5f37, &[&signature(answer, "smdpSignature2")]);
        let signature = self.euicc.key.sign_deterministic(&[signed.as_slice(), &appended].concat());
        let response = element(0xbf21, &[&element(0xa0, &[&signed, &element(0x5f37, &[&signature])])]);
        with_transaction_id(id, "prepareDownloadResponse", &response)
    }

    pub async fn prepare(&self, id: &[u8], answer: &Value, code: Option<&str>) -> Value {
        self.call("getBoundProfilePackage", &self.prepare_request(id, answer, code)).await
    }

    pub fn open(&self, id: &[u8], answer: &Value, pb: &VerifiedServer) -> Result<Opened, OpenError> {
        bpp::open(&octets(answer, "boundProfilePackage"), id, *self.euicc.eid.octets(), &OT_SECRET, pb.key())
    }

    /// ProfileInstallationResult, of success or of an error.
    pub fn installation_result(&self, id: &[u8], oid: &[u8], is_success: bool) -> Vec<u8> {
        let result = if is_success {
            element(0xa0, &[&element(0x4f, &[&[0xa0; 16]]), &element(0x04, &[&[0x30, 0]])])
        } else {
            element(0xa1, &[&integer(0x80, 5), &integer(0x81, 8)])
        };
        let data = element(
            0xbf27,
            &[&element(0x80, &[id]), &self.notification_metadata(), &element(0x06, &[oid]), &element(0xa2, &[&result])],
        );
        let signature = self.euicc.key.sign_deterministic(&data);
        element(0xbf37, &[&data, &element(0x5f37, &[&signature])])
    }

    pub fn other_notification(&self) -> Vec<u8> {
        let metadata = self.notification_metadata();
        let signature = self.euicc.key.sign_deterministic(&metadata);
        let certificates = [self.euicc.certificate.as_slice(), &self.euicc.eum_certificate].concat();
        element(0x30, &[&metadata, &element(0x5f37, &[&signature]), &certificates])
    }

    fn notification_metadata(&self) -> Vec<u8> {
        element(0xbf2f, &[&integer(0x80, 1), &element(0x81, &[&[7, 0x80]]), &element(0x0c, &[self.address.as_bytes()])])
    }

    pub async fn notify(&self, notification: &[u8]) -> Reply {
        let body = json!({ "pendingNotification": STANDARD.encode(notification) });
        self.post("handleNotification", &body).await.unwrap()
    }

    pub fn cancel_request(&self, id: &[u8], oid: &[u8], reason: i64) -> Value {
        let signed = element(0x30, &[&element(0x80, &[id]), &element(0x81, &[oid]), &integer(0x82, reason)]);
        let signature = self.euicc.key.sign_deterministic(&signed);
        let response = element(0xbf41, &[&element(0xa0, &[&signed, &element(0x5f37, &[&signature])])]);
        with_transaction_id(id, "cancelSessionResponse", &response)
    }
}

pub fn with_transaction_id(id: &[u8], member: &str, octets: &[u8]) -> Value {
    json!({ "transactionId": hex::encode_upper(id), member: STANDARD.encode(octets) })
}

/// The octets of a member, line breaks or not.
pub fn octets(answer: &Value, member: &str) -> Vec<u8> {
    let text = answer[member].as_str().unwrap_or_else(|| panic!("no {member} in {answer}"));
    STANDARD.decode(text.replace(['\r', '\n'], "")).unwrap()
}

pub fn signature(answer: &Value, member: &str) -> Vec<u8> {
    let octets = octets(answer, member);
    Tlv::only(&octets).filter(|tlv| tlv.tag == 0x5f37).unwrap().content.to_vec()
}

pub fn transaction_id(answer: &Value) -> Vec<u8> {
    hex::decode(answer["transactionId"].as_str().unwrap_or_else(|| panic!("refused: {answer}"))).unwrap()
}

/// subjectCode/reasonCode of a refusal; empty for a success.
pub fn refusal(answer: &Value) -> String {
    let status = &answer["header"]["functionExecutionStatus"];
    if status["status"] == "Executed-Success" {
        return String::new();
    }
    assert_eq!(status["status"], "Failed", "{answer}");
    let code = |name: &str| status["statusCodeData"][name].as_str().unwrap().to_owned();
    format!("{}/{}", code("subjectCode"), code("reasonCode"))
}
