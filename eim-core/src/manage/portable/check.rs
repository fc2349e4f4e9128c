//! A look at a whole export before anything of it is imported.

use super::lines::Lines;
use super::{Digests, ExportStatement, Heading, Line, NOTATION, Parts, text};
use crate::domain::FieldError;
use crate::domain::statement::{Purpose, SignedStatement};
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
    /// The number of the line at hand in the file.
    number: u64,
    /// The number that the next line of the export has.
    expected: u64,
    lines: u64,
    devices: u64,
    device: String,
    /// Whether the line that names the device may be one that is missing or unreadable.
    adrift: bool,
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
            expected: 2,
            lines: 0,
            devices: 0,
            device: String::new(),
            adrift: false,
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
                Err(error) => self.unreadable(&error.to_string()),
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
        if let Some(parts) = Parts::of(line) {
            return self.one(&parts);
        }
        self.device.clear();
        let signed = serde_json::from_str::<Map<String, Value>>(line).ok();
        let signed = signed.and_then(|mut members| serde_json::from_value(members.remove("signed")?).ok());
        let Some(signed): Option<SignedStatement> = signed else {
            return self.unreadable("it is none of a portable export");
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
            Ok(heading) if heading.eim_export != NOTATION => self.fault_here(&format!(
                "it is of an export in notation {}, and {NOTATION} is read here: export again with this version",
                heading.eim_export
            )),
            _ => self.fault_here("it is not the first line of a portable export"),
        }
    }

    /// A line of which nobody can say what it was: it stands for the one that is expected.
    fn unreadable(&mut self, why: &str) {
        self.fault_here(why);
        if self.number > 1 {
            self.expected = self.expected.saturating_add(1);
            self.adrift = true;
        }
    }

    fn one(&mut self, parts: &Parts<'_>) {
        self.lines += 1;
        if let Some(digests) = &mut self.digests {
            digests.add(parts.digest);
        }
        let fits = parts.fits();
        let displaced = if fits { self.place(parts.number) } else { None };
        self.adrift |= !fits || displaced.is_some();
        if !fits {
            self.expected = self.expected.saturating_add(1);
        }
        let read: Option<Line> = serde_json::from_str(parts.text).ok().filter(Line::can_be_kept);
        if let Some(line) = read.as_ref().filter(|line| self.adrift || matches!(line, Line::Device(_))) {
            if line.eid() != self.device {
                self.of_device = 0;
                line.eid().clone_into(&mut self.device);
            }
            self.adrift = !fits;
        }
        if let Some(Line::Device(_)) = &read {
            self.devices += 1;
            self.of_device = 0;
        }
        if matches!(read, Some(Line::Profile(_) | Line::OtherEim(_) | Line::Association(_))) {
            self.of_device = self.of_device.saturating_add(1);
        }
        if !fits {
            self.fault_here("its digest does not fit what it says");
        }
        if let Some(why) = displaced {
            self.fault_here(&why);
        }
        match read {
            None => self.fault_here("it can't be read"),
            Some(line) if line.eid() != self.device => self.fault_here("it does not stand behind its device"),
            Some(_) if self.of_device > OF_A_DEVICE_MAX => self.fault_here("no eUICC has so much"),
            Some(_) => {}
        }
    }

    /// Why a line of this number does not belong here, if it does not.
    fn place(&mut self, number: u64) -> Option<String> {
        let expected = self.expected;
        if number >= expected {
            self.expected = number.saturating_add(1);
        }
        match number {
            _ if number == expected => None,
            _ if number > expected => Some(missing(expected, number)),
            _ => Some(format!(
                "it is line {number} of the export, which stands before, and line {expected} is expected here"
            )),
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
        // The last line has the number behind those that were signed.
        let number = says.lines.saturating_add(2);
        if number > self.expected {
            let why = missing(self.expected, number);
            self.fault_here(&why);
        }
        let counted = (says.lines, says.devices) == (self.lines, self.devices);
        let digests = self.digests.take().map(Digests::finish);
        // Where a line was named, these are but its echo.
        if self.faults.is_empty() && !counted {
            self.fault(format!(
                "{} lines and {} devices were signed, and there are {} and {}",
                says.lines, says.devices, self.lines, self.devices
            ));
        }
        if self.faults.is_empty() && digests.as_ref() != Some(&says.digest) {
            self.fault("the digests of the lines are not those that were signed: a line and its digest were made anew");
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
            self.number += 1;
            self.device.clear();
            self.fault_here("the export is not whole: its last line, the statement of the eIM, is expected here");
        }
        match self.signed {
            Some(says) if self.faults.is_empty() => Ok(says),
            _ => Err(self.faults),
        }
    }
}

/// What a line is told that has this number, where another one was expected.
fn missing(expected: u64, number: u64) -> String {
    let lines = match number - expected {
        1 => format!("line {expected} of the export is"),
        _ => format!("lines {expected} to {} of the export are", number - 1),
    };
    format!("it is line {number} of the export, and {lines} missing before it")
}
