//! A look at a whole export before anything of it is imported.

use super::lines::Lines;
use super::{Digests, ExportStatement, Heading, Line, NOTATION, parts, text};
use crate::domain::FieldError;
use crate::domain::statement::{Purpose, SignedStatement, digest};
use serde_json::{Map, Value, json};

/// How many faults are told.
const FAULTS_MAX: usize = 100;
/// How many profiles and other eIMs an eUICC may have in an export.
const OF_A_DEVICE_MAX: u32 = 1_000;

/// Looks at an export as it comes in.
pub struct PortableCheck {
    lines_in: Lines,
    /// Names of keys that are believed.
    trusted: Vec<String>,
    heading: Option<Heading>,
    digests: Option<Digests>,
    number: u64,
    lines: u64,
    devices: u64,
    device: String,
    /// How many profiles and eIMs this device has had so far.
    of_device: u32,
    signed: Option<ExportStatement>,
    faults: Vec<FieldError>,
}

impl PortableCheck {
    /// Begins. `trusted` names keys that are known from elsewhere, see [`crate::domain::statement::key_id`].
    #[must_use]
    pub fn new(trusted: Vec<String>) -> Self {
        Self {
            lines_in: Lines::default(),
            trusted,
            heading: None,
            digests: None,
            number: 0,
            lines: 0,
            devices: 0,
            device: String::new(),
            of_device: 0,
            signed: None,
            faults: vec![],
        }
    }

    fn fault(&mut self, message: impl Into<String>) {
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(FieldError::new("", message));
        }
    }

    /// A fault of the line at hand.
    fn fault_here(&mut self, why: &str) {
        if self.faults.len() < FAULTS_MAX {
            let of = if self.device.is_empty() { String::new() } else { format!(" (eUICC {})", self.device) };
            let message = format!("line {}{of}: {why}", self.number);
            self.faults.push(FieldError::new(format!("/lines/{}", self.number), message));
        }
    }

    /// The next part of the file.
    pub fn push(&mut self, octets: &[u8]) {
        self.lines_in.push(octets);
        self.read();
    }

    fn read(&mut self) {
        while let Some(line) = self.lines_in.next() {
            self.number += 1;
            match line {
                Ok(line) => self.line(&line),
                Err(error) => self.fault_here(&error.to_string()),
            }
        }
    }

    fn line(&mut self, line: &str) {
        if self.number == 1 {
            return self.first(line);
        }
        // Nothing can be judged without the first line, and nothing stands behind the last.
        if self.heading.is_none() {
            return;
        }
        if self.signed.is_some() {
            return self.fault_here("it stands behind the end");
        }
        if let Some((said, text)) = parts(line) {
            return self.one(said, text);
        }
        self.device.clear();
        let signed = serde_json::from_str::<Map<String, Value>>(line).ok();
        let signed = signed.and_then(|mut members| serde_json::from_value(members.remove("signed")?).ok());
        let Some(signed): Option<SignedStatement> = signed else {
            return self.fault_here("it is none of a portable export");
        };
        if text(&json!({ "signed": signed })) != line {
            return self.fault_here("it is not as the export wrote it");
        }
        self.last(&signed);
    }

    fn first(&mut self, line: &str) {
        match serde_json::from_str::<Heading>(line) {
            Ok(heading) if heading.eim_export == NOTATION && text(&heading) == line => {
                self.digests = Some(Digests::begin(line));
                self.heading = Some(heading);
            }
            _ => self.fault_here("it is not the first line of a portable export"),
        }
    }

    fn one(&mut self, said: &str, text: &str) {
        self.lines += 1;
        if let Some(digests) = &mut self.digests {
            digests.add(said);
        }
        let fits = digest(text.as_bytes()) == said;
        let read: Option<Line> = serde_json::from_str(text).ok().filter(Line::can_be_kept);
        if let Some(Line::Device(device)) = &read {
            self.devices += 1;
            self.of_device = 0;
            self.device.clone_from(&device.eid);
        }
        if matches!(read, Some(Line::Profile(_) | Line::OtherEim(_) | Line::Association(_))) {
            self.of_device = self.of_device.saturating_add(1);
        }
        if !fits {
            self.fault_here("its digest does not fit what it says");
        }
        match read {
            None => self.fault_here("it can't be read"),
            Some(line) if line.eid() != self.device => self.fault_here("it does not stand behind its device"),
            Some(_) if self.of_device > OF_A_DEVICE_MAX => self.fault_here("no eUICC has so much"),
            Some(_) => {}
        }
    }

    fn last(&mut self, signed: &SignedStatement) {
        let says: ExportStatement = match signed.open(Purpose::Export) {
            Ok(says) => says,
            Err(error) => return self.fault_here(&format!("the statement of the eIM: {error}")),
        };
        // Digits in capitals are another spelling, and the export has one.
        if [&signed.public_key, &signed.signature].iter().any(|text| text.bytes().any(|it| it.is_ascii_uppercase())) {
            return self.fault_here("it is not as the export wrote it");
        }
        if !signed.key_id().is_ok_and(|key| self.trusted.contains(&key)) {
            self.fault_here("it is signed by a key that is not trusted here");
        }
        let heading = self.heading.as_ref().map(|heading| (heading.eim_id.clone(), heading.tenant.clone()));
        if heading != Some((says.eim_id.clone(), says.tenant.clone())) {
            self.faults.push(FieldError::new("/lines/1", "line 1: another eIM or tenant has signed the export"));
        }
        if (says.lines, says.devices) != (self.lines, self.devices) {
            self.fault(format!(
                "{} lines and {} devices were signed, and there are {} and {}",
                says.lines, says.devices, self.lines, self.devices
            ));
        }
        if self.digests.take().map(Digests::finish) != Some(says.digest.clone()) {
            self.fault("the digests of the lines are not those that were signed");
        }
        self.signed = Some(says);
    }

    /// What was signed, when everything fits.
    ///
    /// # Errors
    /// What does not fit, the first hundred: the place is `/lines/` and the number of the line, from 1, or empty for the file as
    /// a whole. The sentence names it, too, and the eUICC where the line is about one.
    pub fn finish(mut self) -> Result<ExportStatement, Vec<FieldError>> {
        self.lines_in.end();
        self.read();
        if self.signed.is_none() && self.faults.is_empty() {
            self.fault("the export is not whole: its last line is missing");
        }
        match self.signed {
            Some(says) if self.faults.is_empty() => Ok(says),
            _ => Err(self.faults),
        }
    }
}
