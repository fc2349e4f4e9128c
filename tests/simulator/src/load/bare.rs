//! The baseline: a bare actix-web handler over rustls that answers "nothing" at the same path, and does nothing else.
#![allow(clippy::print_stdout, reason = "where it listens is the output of the program that runs it")]

use super::LoadError;
use crate::pki::{PkiError, seeded_key, self_signed_tls};
use actix_web::{App, HttpResponse, HttpServer, web};
use eim_core::pki::Curve;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

/// `BF4F { 02 noEimPackageAvailable(1) }`.
const NOTHING: [u8; 6] = [0xbf, 0x4f, 0x03, 0x02, 0x01, 0x01];
/// The same in JSON.
const NOTHING_JSON: &str =
    r#"{"header":{"functionExecutionStatus":{"status":"Executed-Success"}},"eimPackageError":1}"#;

/// A bare server that is listening.
pub struct BareServer {
    /// Runs until it is stopped; has to be awaited.
    pub server: actix_web::dev::Server,
    /// Where it listens.
    pub address: SocketAddr,
    /// Its certificate (DER), for `localhost` and 127.0.0.1.
    pub certificate: Vec<u8>,
}

/// Starts it; needs a running actix system.
///
/// # Errors
/// [`LoadError`] when it can't listen there.
pub fn bare_server(listen: SocketAddr, workers: usize) -> Result<BareServer, LoadError> {
    let failed = |cause| LoadError::Connection { target: listen.to_string(), cause };
    let setup = |error: String| LoadError::Setup { what: error };
    let (certificate, mut tls) = server_tls("localhost").map_err(|error| setup(error.to_string()))?;
    // Resumption by tickets, as the eIM has it.
    tls.ticketer = rustls::crypto::ring::Ticketer::new().map_err(|error| setup(error.to_string()))?;
    let server = HttpServer::new(|| {
        App::new()
            .route("/gsma/rsp2/asn1", web::post().to(asn1))
            .route("/gsma/rsp2/esipa/getEimPackage", web::post().to(json))
    })
    .workers(workers.max(1))
    .keep_alive(std::time::Duration::from_secs(75))
    // As the eIM has it: an answer that waits for the acknowledgement of the tickets before it is 40 ms late.
    .tcp_nodelay(true)
    .disable_signals()
    .bind_rustls_0_23(listen, tls)
    .map_err(failed)?;
    let address = server.addrs().first().copied().unwrap_or(listen);
    Ok(BareServer { server: server.run(), address, certificate })
}

/// Starts it, writes its certificate (DER) to this file, and serves until SIGINT.
///
/// # Errors
/// [`LoadError`] when it can't listen there or the file can't be written.
pub async fn run_bare_server(listen: SocketAddr, workers: usize, certificate: &Path) -> Result<(), LoadError> {
    let BareServer { server, address, certificate: octets } = bare_server(listen, workers)?;
    let failed = |cause| LoadError::Connection { target: address.to_string(), cause };
    std::fs::write(certificate, octets).map_err(failed)?;
    println!("https://{address} with {}", certificate.display());
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            handle.stop(true).await;
        }
    });
    server.await.map_err(failed)
}

/// A certificate for this host from a fixed seed, and the server configuration with it (TLS 1.2 and 1.3, ring).
///
/// # Errors
/// When the key or the certificate is not taken, which does not happen in practice.
pub fn server_tls(host: &str) -> Result<(Vec<u8>, rustls::ServerConfig), rustls::Error> {
    let general = |error: String| rustls::Error::General(error);
    let key = seeded_key(Curve::P256, 0, "TLS").map_err(|error: PkiError| general(error.to_string()))?;
    let certificate = self_signed_tls(&key, host);
    let pem = key.to_pkcs8_pem().map_err(|error| general(error.to_string()))?;
    let private = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| general(error.to_string()))?;
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate.clone())], private)?;
    Ok((certificate, config))
}

async fn asn1(_body: web::Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/x-gsma-rsp-asn1")
        .insert_header(("x-admin-protocol", "gsma/rsp/v2.1.0"))
        .body(NOTHING.to_vec())
}

async fn json(_body: web::Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json;charset=UTF-8")
        .insert_header(("x-admin-protocol", "gsma/rsp/v2.1.0"))
        .body(NOTHING_JSON)
}
