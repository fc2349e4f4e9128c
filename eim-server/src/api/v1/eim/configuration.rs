//! GET /api/v1/eim/configuration, GET /api/v1/euiccs/{eid}/eim-configuration

use crate::api::request::Parameters;
use crate::api::{Caller, Problem};
use crate::provisioning::{self, Notation, Object};
use actix_web::http::header;
use actix_web::web::Path;
use actix_web::{HttpRequest, HttpResponse};
use eim_core::manage::{self, EimConfiguration, TokenRequest};

/// What a factory or a device maker loads, in the notation that it takes.
///
/// `der` is the object itself, `hex` and `base64` are a line of text, `png` is a QR code of the upper-case hexadecimal, `c` a C
/// header. `eimConfigurationData` is for the manufacturer of eUICCs (EUM), `addInitialEimRequest` for an IPA. The counter in
/// it is 0. With `token=allocate` the eUICC gives the association a token; register it with the device, or packages can't be
/// signed.
#[utoipa::path(
    get, path = "/api/v1/eim/configuration", tag = "eIM", operation_id = "showEimConfiguration",
    params(
        ("format" = Option<String>, Query, description = "`der` (default), `hex`, `base64`, `png` or `c`."),
        ("object" = Option<String>, Query, description = "`addInitialEimRequest` (default) or `eimConfigurationData`."),
        ("token" = Option<String>, Query, description = "`none` (default) or `allocate`."),
        ("eimId" = Option<String>, Query, description = "Another eimId of this server, where it has several."),
    ),
    responses(
        (status = 200, description = "The object.", content((Vec<u8> = "application/octet-stream"), (String = "text/plain"), (Vec<u8> = "image/png"), (String = "text/x-c"))),
        (status = 404, description = "The server has no such eimId.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It does not fit into a QR code.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn show(request: HttpRequest, caller: Caller) -> Result<HttpResponse, Problem> {
    let mut parameters = Parameters::of(&request)?;
    let eim_id = parameters.given("eimId");
    let asked = Asked::of(parameters, TokenRequest::None)?;
    asked.answer(&manage::eim_configuration(eim_id.as_deref(), asked.token, &caller.eim)?)
}

/// The same for a device that lost its association: counter 0, and the eUICC allocates a token.
///
/// Record what the eUICC answers with POST /api/v1/euiccs/{eid}/associations.
#[utoipa::path(
    get, path = "/api/v1/euiccs/{eid}/eim-configuration", tag = "Associations", operation_id = "showDeviceEimConfiguration",
    params(
        ("eid" = String, Path, description = "32 digits."),
        ("format" = Option<String>, Query, description = "`der` (default), `hex`, `base64`, `png` or `c`."),
        ("object" = Option<String>, Query, description = "`addInitialEimRequest` (default) or `eimConfigurationData`."),
        ("token" = Option<String>, Query, description = "`allocate` (default) or `none`."),
    ),
    responses(
        (status = 200, description = "The object.", content((Vec<u8> = "application/octet-stream"), (String = "text/plain"), (Vec<u8> = "image/png"), (String = "text/x-c"))),
        (status = 404, description = "The eUICC is not registered.", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It does not fit into a QR code.", body = Problem, content_type = "application/problem+json"),
    ),
    security(("apiKey" = ["viewer"])),
)]
pub async fn of_device(request: HttpRequest, eid: Path<String>, caller: Caller) -> Result<HttpResponse, Problem> {
    let asked = Asked::of(Parameters::of(&request)?, TokenRequest::Allocate)?;
    asked.answer(&manage::device_configuration(&eid, asked.token, &caller.eim).await?)
}

struct Asked {
    notation: Notation,
    object: Object,
    token: TokenRequest,
}

impl Asked {
    fn of(mut parameters: Parameters, token: TokenRequest) -> Result<Self, Problem> {
        let asked = Self {
            notation: word(&mut parameters, "format", &Notation::WORDS, Notation::Der)?,
            object: word(&mut parameters, "object", &Object::WORDS, Object::AddInitialEimRequest)?,
            token: word(&mut parameters, "token", &TokenRequest::WORDS, token)?,
        };
        parameters.finish()?;
        Ok(asked)
    }

    fn answer(&self, configuration: &EimConfiguration) -> Result<HttpResponse, Problem> {
        let octets = provisioning::write(self.object.of(configuration), self.object, self.notation)
            .map_err(|error| manage::ManageError::invalid("/format", error.to_string()))?;
        Ok(HttpResponse::Ok().insert_header((header::CONTENT_TYPE, self.notation.media_type())).body(octets))
    }
}

fn word<T: Copy>(
    parameters: &mut Parameters,
    name: &str,
    words: &[(&'static str, T)],
    default: T,
) -> Result<T, Problem> {
    let Some(text) = parameters.text(name) else { return Ok(default) };
    let known = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    known.ok_or_else(|| {
        let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        Problem::malformed_parameter(name, format!("one of {} is expected", words.join(", ")))
    })
}
