//! The few calls of the operator API that a run needs.

use super::raw::request;
use super::{LoadError, RawConnection, check_target};
use crate::euicc::Euicc;
use crate::fleet::Registration;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use eim_core::ids::Eid;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// What an operator says about an association that exists already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Association {
    /// counterValue.
    pub counter_value: i64,
    /// associationToken.
    pub association_token: Option<i64>,
}

/// What the API is told of a device.
#[must_use]
pub fn registration(registration: &Registration, association: Option<Association>) -> Value {
    let mut body = json!({
        "eid": registration.eid.to_string(),
        "eumCertificate": STANDARD.encode(&registration.eum_certificate),
        "euiccCertificate": STANDARD.encode(&registration.euicc_certificate),
    });
    if let Some(association) = association
        && let Some(members) = body.as_object_mut()
    {
        let mut value = json!({"counterValue": association.counter_value});
        if let (Some(token), Some(value)) = (association.association_token, value.as_object_mut()) {
            value.insert("associationToken".to_owned(), token.into());
        }
        members.insert("association".to_owned(), value);
    }
    body
}

/// What an eUICC has of its first eIM.
#[must_use]
pub fn association_of(euicc: &Euicc) -> Option<Association> {
    euicc.associations().first().map(|found| Association {
        counter_value: found.counter,
        association_token: found.token.map(eim_core::ids::AssociationToken::value),
    })
}

/// A connection to the operator API.
#[derive(Debug)]
pub struct Api {
    address: SocketAddr,
    host: String,
    authorization: String,
    connection: RawConnection<TcpStream>,
}

impl Api {
    /// Connects to `http://host:port` with this API key.
    ///
    /// # Errors
    /// [`LoadError`] when the address is not loopback (unless `allow_remote`) or can't be reached.
    pub async fn connect(url: &str, key: &str, allow_remote: bool) -> Result<Self, LoadError> {
        let host = url
            .strip_prefix("http://")
            .map(|rest| rest.trim_end_matches('/').to_owned())
            .ok_or(LoadError::Setup { what: "the API address must start with http://".to_owned() })?;
        let address = check_target(&host, allow_remote)?;
        let connection = RawConnection::open_plain(address).await?;
        Ok(Self { address, host, authorization: format!("Bearer {key}"), connection })
    }

    /// Another connection to the same API.
    ///
    /// # Errors
    /// [`LoadError::Connection`].
    pub async fn another(&self) -> Result<Self, LoadError> {
        Ok(Self {
            address: self.address,
            host: self.host.clone(),
            authorization: self.authorization.clone(),
            connection: RawConnection::open_plain(self.address).await?,
        })
    }

    /// One call: status and JSON (null when there is none).
    ///
    /// # Errors
    /// [`LoadError`] when there is no response; every status is an answer here.
    pub async fn call(&mut self, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), LoadError> {
        let body = body.map(Value::to_string).unwrap_or_default();
        let headers = [("authorization", self.authorization.as_str()), ("content-type", "application/json")];
        let octets = request(method, path, &self.host, &headers, body.as_bytes());
        let (status, body) = self.connection.exchange(&octets).await?;
        Ok((status, serde_json::from_slice(body).unwrap_or_default()))
    }

    /// The eIM's AddInitialEimRequest, `BF57`.
    ///
    /// # Errors
    /// [`LoadError`] when the API does not give it.
    pub async fn add_initial_eim_request(&mut self) -> Result<Vec<u8>, LoadError> {
        let eim = self.expect("GET", "/api/v1/eim", None, &[200]).await?;
        eim.get("addInitialEimRequest")
            .and_then(Value::as_str)
            .and_then(|text| STANDARD.decode(text).ok())
            .ok_or(LoadError::Setup { what: "GET /api/v1/eim has no addInitialEimRequest in base64".to_owned() })
    }

    /// Registers an eUICC with its certificates; one that is already there is fine.
    ///
    /// # Errors
    /// [`LoadError`] when the API refuses.
    pub async fn register(
        &mut self,
        registration: &Registration,
        association: Option<Association>,
    ) -> Result<(), LoadError> {
        let body = self::registration(registration, association);
        self.expect("POST", "/api/v1/euiccs", Some(&body), &[200, 201, 409]).await.map(drop)
    }

    /// Registers an eUICC by its EID alone; one that is already there is fine.
    ///
    /// # Errors
    /// [`LoadError`] when the API refuses.
    pub async fn register_eid(&mut self, eid: &Eid) -> Result<(), LoadError> {
        let body = json!({"eid": eid.to_string()});
        self.expect("POST", "/api/v1/euiccs", Some(&body), &[200, 201, 409]).await.map(drop)
    }

    /// Creates an operation and gives what the API says about it.
    ///
    /// # Errors
    /// [`LoadError`] when the API refuses.
    pub async fn create_operation(&mut self, eid: &Eid, body: &Value) -> Result<Value, LoadError> {
        self.expect("POST", &format!("/api/v1/euiccs/{eid}/operations"), Some(body), &[202]).await
    }

    async fn expect(
        &mut self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        good: &[u16],
    ) -> Result<Value, LoadError> {
        let (status, value) = self.call(method, path, body).await?;
        if good.contains(&status) {
            return Ok(value);
        }
        let body = value.to_string().chars().take(400).collect();
        Err(LoadError::Api { request: format!("{method} {path}"), status, body })
    }
}
