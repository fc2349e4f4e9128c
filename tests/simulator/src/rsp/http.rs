//! HTTP: paths, headers and status, the faults of the transport, and the record of calls.

use super::core::{Core, Refusal};
use super::faults::TransportFault;
use super::json::{self, RspFunction};
use actix_web::body::SizedStream;
use actix_web::dev::ServerHandle;
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_TYPE, LOCATION, USER_AGENT};
use actix_web::web::{self, Bytes, Data, PayloadConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use serde_json::Value;
use std::fmt;
use std::net::TcpListener;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

const PREFIX: &str = "/gsma/rsp2/es9plus/";
const X_ADMIN_PROTOCOL: &str = "X-Admin-Protocol";
const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// A call that a server got, and what became of it. `Debug` does not show the body.
#[derive(Clone, PartialEq)]
pub struct CallRecord {
    /// The function, as in its path.
    pub function: String,
    /// The body.
    pub request: Value,
    /// The HTTP status that was answered; 0 when nothing was.
    pub status: u16,
    /// subjectCode and reasonCode, when the call was refused.
    pub refused: Option<(String, String)>,
    /// The header of this name.
    pub x_admin_protocol: Option<String>,
    /// The header of this name.
    pub user_agent: Option<String>,
    /// When the whole call was there.
    pub received: Instant,
}

impl fmt::Debug for CallRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallRecord")
            .field("function", &self.function)
            .field("status", &self.status)
            .field("refused", &self.refused)
            .finish_non_exhaustive()
    }
}

/// A server's functions.
pub(super) trait Functions: Send + 'static {
    fn core(&self) -> &Core;
    fn core_mut(&mut self) -> &mut Core;
    /// The members of the answer beside its header; `None` for 204.
    fn call(&mut self, function: RspFunction, request: &Value) -> Result<Option<Value>, Refusal>;
    /// Whether the server has this function.
    fn has(&self, function: RspFunction) -> bool;
}

pub(super) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until the handle is stopped.
pub(super) fn serve<F: Functions>(
    shared: &Arc<Mutex<F>>,
    listener: TcpListener,
    tls: rustls::ServerConfig,
) -> anyhow::Result<ServerHandle> {
    let shared = Data::from(shared.clone());
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .app_data(PayloadConfig::new(MAX_REQUEST_BYTES))
            .default_service(web::to(answer::<F>))
    })
    .workers(1)
    .disable_signals()
    .listen_rustls_0_23(listener, tls)?
    .run();
    let handle = server.handle();
    tokio::spawn(server);
    Ok(handle)
}

async fn answer<F: Functions>(request: HttpRequest, body: Bytes, shared: Data<Mutex<F>>) -> HttpResponse {
    let received = Instant::now();
    let function = request.path().strip_prefix(PREFIX).and_then(RspFunction::from_word);
    let Some(function) = function.filter(|function| lock(&shared).has(*function)) else {
        return HttpResponse::NotFound().finish();
    };
    if request.method() != Method::POST {
        return HttpResponse::MethodNotAllowed().finish();
    }
    let Ok(call) = serde_json::from_slice::<Value>(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    let header = |name: &str| Some(request.headers().get(name)?.to_str().ok()?.to_owned());
    let mut record = CallRecord {
        function: function.as_str().to_owned(),
        request: call,
        status: 200,
        refused: None,
        x_admin_protocol: header(X_ADMIN_PROTOCOL),
        user_agent: header(USER_AGENT.as_str()),
        received,
    };
    let (response, is_silent) = {
        let mut server = lock(&shared);
        let fault = server.core_mut().faults.next_transport(function);
        let response = respond(&mut *server, function, fault, &mut record);
        let is_silent = fault == Some(TransportFault::Silence);
        record.status = if is_silent { 0 } else { response.status().as_u16() };
        server.core_mut().calls.push(record);
        (response, is_silent)
    };
    if is_silent {
        std::future::pending::<()>().await;
    }
    response
}

fn respond<F: Functions>(
    server: &mut F,
    function: RspFunction,
    fault: Option<TransportFault>,
    record: &mut CallRecord,
) -> HttpResponse {
    match fault {
        Some(TransportFault::HttpStatus(status)) => {
            let status = status.try_into().unwrap_or(actix_web::http::StatusCode::INTERNAL_SERVER_ERROR);
            HttpResponse::build(status).finish()
        }
        Some(TransportFault::Html) => {
            HttpResponse::Ok().content_type("text/html").body("<html><body>It works</body></html>")
        }
        Some(TransportFault::GarbageJson) => json_response("{\"header\": {\"functionExec".into()),
        Some(TransportFault::Redirect) => {
            HttpResponse::TemporaryRedirect().insert_header((LOCATION, "/elsewhere")).finish()
        }
        Some(TransportFault::AnswerBytes(bytes)) => {
            let frame = b"{\"filler\":\"\"}".len();
            json_response(format!("{{\"filler\":\"{}\"}}", "a".repeat(bytes.saturating_sub(frame))).into())
        }
        Some(TransportFault::CloseMidAnswer) => {
            let body = carry_out(server, function, record).unwrap_or_else(|| "{\"header\":{}}".into());
            let half = body.slice(..body.len() / 2);
            let parts = [Ok(half), Err(std::io::Error::other("the connection is closed"))];
            let stream = futures_util::stream::iter(parts);
            HttpResponse::Ok()
                .insert_header((CONTENT_TYPE, "application/json"))
                .body(SizedStream::new(body.len() as u64, stream))
        }
        Some(TransportFault::Silence) | None => match carry_out(server, function, record) {
            Some(body) => json_response(body),
            None => HttpResponse::NoContent().insert_header((X_ADMIN_PROTOCOL, "gsma/rsp/v2.5.0")).finish(),
        },
    }
}

/// The body of the answer; `None` for 204.
fn carry_out<F: Functions>(server: &mut F, function: RspFunction, record: &mut CallRecord) -> Option<Bytes> {
    let outcome = server.core().asked_refusal(function).and_then(|()| server.call(function, &record.request));
    let body = match outcome {
        Ok(None) => return None,
        Ok(Some(mut members)) => {
            if let Some(object) = members.as_object_mut() {
                object.insert("header".to_owned(), json::success());
            }
            members
        }
        Err(refusal) => {
            record.refused = Some((refusal.subject.to_string(), refusal.reason.to_string()));
            json::failure(&refusal)
        }
    };
    Some(body.to_string().into())
}

fn json_response(body: Bytes) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("application/json;charset=UTF-8")
        .insert_header((X_ADMIN_PROTOCOL, "gsma/rsp/v2.5.0"))
        .body(body)
}
